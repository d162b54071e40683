from shared.idl.agent.v1 import assignment_pb2 as _assignment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Report(_message.Message):
    __slots__ = ("attempt", "lease_id", "version", "phase", "at_us", "reason", "message", "failure", "output_uri", "report_uri", "log_uri", "events", "log_links", "traceparent")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_URI_FIELD_NUMBER: _ClassVar[int]
    REPORT_URI_FIELD_NUMBER: _ClassVar[int]
    LOG_URI_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    LOG_LINKS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    attempt: _assignment_pb2.AttemptId
    lease_id: bytes
    version: int
    phase: int
    at_us: int
    reason: str
    message: str
    failure: Failure
    output_uri: str
    report_uri: str
    log_uri: str
    events: _containers.RepeatedCompositeFieldContainer[ClusterEvent]
    log_links: _containers.RepeatedCompositeFieldContainer[LogLink]
    traceparent: str
    def __init__(self, attempt: _Optional[_Union[_assignment_pb2.AttemptId, _Mapping]] = ..., lease_id: _Optional[bytes] = ..., version: _Optional[int] = ..., phase: _Optional[int] = ..., at_us: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., output_uri: _Optional[str] = ..., report_uri: _Optional[str] = ..., log_uri: _Optional[str] = ..., events: _Optional[_Iterable[_Union[ClusterEvent, _Mapping]]] = ..., log_links: _Optional[_Iterable[_Union[LogLink, _Mapping]]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class LogLink(_message.Message):
    __slots__ = ("name", "uri")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    name: str
    uri: str
    def __init__(self, name: _Optional[str] = ..., uri: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "kind", "message", "recoverable", "full_uri")
    CODE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RECOVERABLE_FIELD_NUMBER: _ClassVar[int]
    FULL_URI_FIELD_NUMBER: _ClassVar[int]
    code: str
    kind: int
    message: str
    recoverable: bool
    full_uri: str
    def __init__(self, code: _Optional[str] = ..., kind: _Optional[int] = ..., message: _Optional[str] = ..., recoverable: _Optional[bool] = ..., full_uri: _Optional[str] = ...) -> None: ...

class ClusterEvent(_message.Message):
    __slots__ = ("at_us", "reason", "message", "type", "count", "source")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    reason: str
    message: str
    type: int
    count: int
    source: str
    def __init__(self, at_us: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., type: _Optional[int] = ..., count: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class ReportBatch(_message.Message):
    __slots__ = ("reports",)
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[Report]
    def __init__(self, reports: _Optional[_Iterable[_Union[Report, _Mapping]]] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("attempt", "version", "verdict")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    attempt: _assignment_pb2.AttemptId
    version: int
    verdict: int
    def __init__(self, attempt: _Optional[_Union[_assignment_pb2.AttemptId, _Mapping]] = ..., version: _Optional[int] = ..., verdict: _Optional[int] = ...) -> None: ...

class AcknowledgementBatch(_message.Message):
    __slots__ = ("acknowledgements",)
    ACKNOWLEDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    acknowledgements: _containers.RepeatedCompositeFieldContainer[Acknowledgement]
    def __init__(self, acknowledgements: _Optional[_Iterable[_Union[Acknowledgement, _Mapping]]] = ...) -> None: ...
