from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrolRequest(_message.Message):
    __slots__ = ("join_token", "signing_request", "software")
    JOIN_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SIGNING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    join_token: str
    signing_request: bytes
    software: str
    def __init__(self, join_token: _Optional[str] = ..., signing_request: _Optional[bytes] = ..., software: _Optional[str] = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("certificate", "waiting", "org", "cluster", "server_time_us", "api_endpoint", "ca_bundle")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    ORG_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    API_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CA_BUNDLE_FIELD_NUMBER: _ClassVar[int]
    certificate: Certificate
    waiting: Waiting
    org: str
    cluster: str
    server_time_us: int
    api_endpoint: str
    ca_bundle: bytes
    def __init__(self, certificate: _Optional[_Union[Certificate, _Mapping]] = ..., waiting: _Optional[_Union[Waiting, _Mapping]] = ..., org: _Optional[str] = ..., cluster: _Optional[str] = ..., server_time_us: _Optional[int] = ..., api_endpoint: _Optional[str] = ..., ca_bundle: _Optional[bytes] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("key", "again_after_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    AGAIN_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    key: str
    again_after_ms: int
    def __init__(self, key: _Optional[str] = ..., again_after_ms: _Optional[int] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("pem", "expires_at_us")
    PEM_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    pem: bytes
    expires_at_us: int
    def __init__(self, pem: _Optional[bytes] = ..., expires_at_us: _Optional[int] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("signing_request",)
    SIGNING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    signing_request: bytes
    def __init__(self, signing_request: _Optional[bytes] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("certificate", "server_time_us", "ca_bundle")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CA_BUNDLE_FIELD_NUMBER: _ClassVar[int]
    certificate: Certificate
    server_time_us: int
    ca_bundle: bytes
    def __init__(self, certificate: _Optional[_Union[Certificate, _Mapping]] = ..., server_time_us: _Optional[int] = ..., ca_bundle: _Optional[bytes] = ...) -> None: ...
