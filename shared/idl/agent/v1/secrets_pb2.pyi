from shared.idl.agent.v1 import assignment_pb2 as _assignment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FetchSecretsRequest(_message.Message):
    __slots__ = ("attempt", "lease_id", "names", "image_pull")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PULL_FIELD_NUMBER: _ClassVar[int]
    attempt: _assignment_pb2.AttemptId
    lease_id: bytes
    names: _containers.RepeatedScalarFieldContainer[str]
    image_pull: bool
    def __init__(self, attempt: _Optional[_Union[_assignment_pb2.AttemptId, _Mapping]] = ..., lease_id: _Optional[bytes] = ..., names: _Optional[_Iterable[str]] = ..., image_pull: _Optional[bool] = ...) -> None: ...

class FetchSecretsReply(_message.Message):
    __slots__ = ("secrets", "image_pull")
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PULL_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[SealedSecret]
    image_pull: _containers.RepeatedCompositeFieldContainer[SealedSecret]
    def __init__(self, secrets: _Optional[_Iterable[_Union[SealedSecret, _Mapping]]] = ..., image_pull: _Optional[_Iterable[_Union[SealedSecret, _Mapping]]] = ...) -> None: ...

class SealedSecret(_message.Message):
    __slots__ = ("asked", "found", "project", "domain", "name", "envelope", "problem")
    ASKED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    asked: str
    found: bool
    project: str
    domain: str
    name: str
    envelope: bytes
    problem: str
    def __init__(self, asked: _Optional[str] = ..., found: _Optional[bool] = ..., project: _Optional[str] = ..., domain: _Optional[str] = ..., name: _Optional[str] = ..., envelope: _Optional[bytes] = ..., problem: _Optional[str] = ...) -> None: ...
