from shared.idl.agent.v1 import assignment_pb2 as _assignment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExchangeRequest(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[_assignment_pb2.Lease]
    def __init__(self, leases: _Optional[_Iterable[_Union[_assignment_pb2.Lease, _Mapping]]] = ...) -> None: ...

class ExchangeReply(_message.Message):
    __slots__ = ("needed", "tokens")
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    needed: bool
    tokens: _containers.RepeatedCompositeFieldContainer[AttemptToken]
    def __init__(self, needed: _Optional[bool] = ..., tokens: _Optional[_Iterable[_Union[AttemptToken, _Mapping]]] = ...) -> None: ...

class AttemptToken(_message.Message):
    __slots__ = ("running", "access_token", "expires_in_s")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_S_FIELD_NUMBER: _ClassVar[int]
    running: bool
    access_token: str
    expires_in_s: int
    def __init__(self, running: _Optional[bool] = ..., access_token: _Optional[str] = ..., expires_in_s: _Optional[int] = ...) -> None: ...
