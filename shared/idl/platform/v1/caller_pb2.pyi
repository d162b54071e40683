from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetCallerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCallerResponse(_message.Message):
    __slots__ = ("caller",)
    CALLER_FIELD_NUMBER: _ClassVar[int]
    caller: Caller
    def __init__(self, caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class Caller(_message.Message):
    __slots__ = ("subject", "name", "email", "org", "anonymous", "grants")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ORG_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    subject: str
    name: str
    email: str
    org: str
    anonymous: bool
    grants: _containers.RepeatedCompositeFieldContainer[CallerGrant]
    def __init__(self, subject: _Optional[str] = ..., name: _Optional[str] = ..., email: _Optional[str] = ..., org: _Optional[str] = ..., anonymous: _Optional[bool] = ..., grants: _Optional[_Iterable[_Union[CallerGrant, _Mapping]]] = ...) -> None: ...

class CallerGrant(_message.Message):
    __slots__ = ("project", "domain", "permissions")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    permissions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., permissions: _Optional[_Iterable[str]] = ...) -> None: ...
