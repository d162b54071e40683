from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ProbeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProbeReply(_message.Message):
    __slots__ = ("org", "cluster", "protocol_min", "protocol_max", "server_time_us", "storage_base")
    ORG_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    STORAGE_BASE_FIELD_NUMBER: _ClassVar[int]
    org: str
    cluster: str
    protocol_min: int
    protocol_max: int
    server_time_us: int
    storage_base: str
    def __init__(self, org: _Optional[str] = ..., cluster: _Optional[str] = ..., protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., server_time_us: _Optional[int] = ..., storage_base: _Optional[str] = ...) -> None: ...
