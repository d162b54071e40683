import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListFilesRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "action", "attempt", "page_size", "page_token")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    attempt: int
    page_size: int
    page_token: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., attempt: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("files", "next_page_token")
    FILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[File]
    next_page_token: str
    def __init__(self, files: _Optional[_Iterable[_Union[File, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("path", "uri", "size")
    PATH_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    path: str
    uri: str
    size: int
    def __init__(self, path: _Optional[str] = ..., uri: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class CreateFileLinkRequest(_message.Message):
    __slots__ = ("uri", "expires_in")
    URI_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_FIELD_NUMBER: _ClassVar[int]
    uri: str
    expires_in: _duration_pb2.Duration
    def __init__(self, uri: _Optional[str] = ..., expires_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreateFileLinkResponse(_message.Message):
    __slots__ = ("signed_url", "expires_at")
    SIGNED_URL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    signed_url: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, signed_url: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListCodeFilesRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "action", "page_size", "page_token")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    page_size: int
    page_token: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCodeFilesResponse(_message.Message):
    __slots__ = ("files", "next_page_token", "truncated")
    FILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[CodeFile]
    next_page_token: str
    truncated: bool
    def __init__(self, files: _Optional[_Iterable[_Union[CodeFile, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., truncated: _Optional[bool] = ...) -> None: ...

class CodeFile(_message.Message):
    __slots__ = ("path", "size")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    path: str
    size: int
    def __init__(self, path: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class ReadCodeFileRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "action", "path")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    path: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class ReadCodeFileResponse(_message.Message):
    __slots__ = ("file", "text", "binary", "truncated")
    FILE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    file: CodeFile
    text: str
    binary: bool
    truncated: bool
    def __init__(self, file: _Optional[_Union[CodeFile, _Mapping]] = ..., text: _Optional[str] = ..., binary: _Optional[bool] = ..., truncated: _Optional[bool] = ...) -> None: ...
