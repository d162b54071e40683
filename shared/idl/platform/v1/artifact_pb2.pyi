import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArtifactVersion(_message.Message):
    __slots__ = ("project", "domain", "name", "version")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    name: str
    version: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class ListConsumersRequest(_message.Message):
    __slots__ = ("artifact", "page_size", "page_token")
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    artifact: ArtifactVersion
    page_size: int
    page_token: str
    def __init__(self, artifact: _Optional[_Union[ArtifactVersion, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListConsumersResponse(_message.Message):
    __slots__ = ("consumers", "next_page_token")
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    consumers: _containers.RepeatedCompositeFieldContainer[ArtifactConsumer]
    next_page_token: str
    def __init__(self, consumers: _Optional[_Iterable[_Union[ArtifactConsumer, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ArtifactConsumer(_message.Message):
    __slots__ = ("project", "domain", "run", "task", "at")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    task: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., task: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetRunArtifactsRequest(_message.Message):
    __slots__ = ("project", "domain", "run")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class GetRunArtifactsResponse(_message.Message):
    __slots__ = ("consumed", "produced", "partial")
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    PRODUCED_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    consumed: _containers.RepeatedCompositeFieldContainer[ArtifactVersion]
    produced: _containers.RepeatedCompositeFieldContainer[ProducedArtifact]
    partial: bool
    def __init__(self, consumed: _Optional[_Iterable[_Union[ArtifactVersion, _Mapping]]] = ..., produced: _Optional[_Iterable[_Union[ProducedArtifact, _Mapping]]] = ..., partial: _Optional[bool] = ...) -> None: ...

class ProducedArtifact(_message.Message):
    __slots__ = ("artifact", "action")
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    artifact: ArtifactVersion
    action: str
    def __init__(self, artifact: _Optional[_Union[ArtifactVersion, _Mapping]] = ..., action: _Optional[str] = ...) -> None: ...
