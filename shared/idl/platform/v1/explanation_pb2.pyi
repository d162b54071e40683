import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainActionRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "action")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ...) -> None: ...

class ExplainActionResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: ActionExplanation
    def __init__(self, explanation: _Optional[_Union[ActionExplanation, _Mapping]] = ...) -> None: ...

class ActionExplanation(_message.Message):
    __slots__ = ("project", "domain", "run", "action", "phase", "attempt", "reason", "message", "as_of", "timeline", "refused_reports")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REPORTS_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    phase: str
    attempt: int
    reason: str
    message: str
    as_of: _timestamp_pb2.Timestamp
    timeline: _containers.RepeatedCompositeFieldContainer[ExplanationInterval]
    refused_reports: _containers.RepeatedCompositeFieldContainer[RefusedReport]
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., phase: _Optional[str] = ..., attempt: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timeline: _Optional[_Iterable[_Union[ExplanationInterval, _Mapping]]] = ..., refused_reports: _Optional[_Iterable[_Union[RefusedReport, _Mapping]]] = ...) -> None: ...

class ExplanationInterval(_message.Message):
    __slots__ = ("reason", "message", "started_at", "ended_at")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPendingActionsRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "page_size", "page_token")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    page_size: int
    page_token: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPendingActionsResponse(_message.Message):
    __slots__ = ("actions", "next_page_token")
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedCompositeFieldContainer[PendingAction]
    next_page_token: str
    def __init__(self, actions: _Optional[_Iterable[_Union[PendingAction, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PendingAction(_message.Message):
    __slots__ = ("action", "phase", "attempt", "cluster", "reason", "message")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    action: str
    phase: str
    attempt: int
    cluster: str
    reason: str
    message: str
    def __init__(self, action: _Optional[str] = ..., phase: _Optional[str] = ..., attempt: _Optional[int] = ..., cluster: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class WatchExplanationRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "action")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ...) -> None: ...

class WatchExplanationResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: ActionExplanation
    def __init__(self, explanation: _Optional[_Union[ActionExplanation, _Mapping]] = ...) -> None: ...

class ListAttemptsRequest(_message.Message):
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

class ListAttemptsResponse(_message.Message):
    __slots__ = ("attempts", "next_page_token")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    next_page_token: str
    def __init__(self, attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "phase", "cluster", "epoch", "lease_id", "available_at", "leased_at", "accepted_at", "started_at", "ended_at", "ended_by", "charged", "error_code", "error", "returned_leases", "refused_reports")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_AT_FIELD_NUMBER: _ClassVar[int]
    LEASED_AT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RETURNED_LEASES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REPORTS_FIELD_NUMBER: _ClassVar[int]
    number: int
    phase: str
    cluster: str
    epoch: int
    lease_id: str
    available_at: _timestamp_pb2.Timestamp
    leased_at: _timestamp_pb2.Timestamp
    accepted_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    ended_by: str
    charged: str
    error_code: str
    error: str
    returned_leases: _containers.RepeatedCompositeFieldContainer[ReturnedLease]
    refused_reports: _containers.RepeatedCompositeFieldContainer[RefusedReport]
    def __init__(self, number: _Optional[int] = ..., phase: _Optional[str] = ..., cluster: _Optional[str] = ..., epoch: _Optional[int] = ..., lease_id: _Optional[str] = ..., available_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., leased_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_by: _Optional[str] = ..., charged: _Optional[str] = ..., error_code: _Optional[str] = ..., error: _Optional[str] = ..., returned_leases: _Optional[_Iterable[_Union[ReturnedLease, _Mapping]]] = ..., refused_reports: _Optional[_Iterable[_Union[RefusedReport, _Mapping]]] = ...) -> None: ...

class RefusedReport(_message.Message):
    __slots__ = ("attempt", "cluster", "lease_id", "phase", "refused_at")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_AT_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    cluster: str
    lease_id: str
    phase: str
    refused_at: _timestamp_pb2.Timestamp
    def __init__(self, attempt: _Optional[int] = ..., cluster: _Optional[str] = ..., lease_id: _Optional[str] = ..., phase: _Optional[str] = ..., refused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReturnedLease(_message.Message):
    __slots__ = ("cluster", "leased_at", "returned_at")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    LEASED_AT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_AT_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    leased_at: _timestamp_pb2.Timestamp
    returned_at: _timestamp_pb2.Timestamp
    def __init__(self, cluster: _Optional[str] = ..., leased_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., returned_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListFailuresRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "page_size", "page_token")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    page_size: int
    page_token: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFailuresResponse(_message.Message):
    __slots__ = ("failures", "next_page_token")
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    failures: _containers.RepeatedCompositeFieldContainer[FailureGroup]
    next_page_token: str
    def __init__(self, failures: _Optional[_Iterable[_Union[FailureGroup, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class FailureGroup(_message.Message):
    __slots__ = ("kind", "code", "message", "attempts", "actions", "ended", "first_at", "last_at", "examples")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    FIRST_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    code: str
    message: str
    attempts: int
    actions: int
    ended: int
    first_at: _timestamp_pb2.Timestamp
    last_at: _timestamp_pb2.Timestamp
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., attempts: _Optional[int] = ..., actions: _Optional[int] = ..., ended: _Optional[int] = ..., first_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class GetCriticalPathRequest(_message.Message):
    __slots__ = ("project", "domain", "run")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class GetCriticalPathResponse(_message.Message):
    __slots__ = ("message", "shares", "pieces", "truncated", "as_of")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    message: str
    shares: _containers.RepeatedCompositeFieldContainer[PathShare]
    pieces: _containers.RepeatedCompositeFieldContainer[PathPiece]
    truncated: bool
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, message: _Optional[str] = ..., shares: _Optional[_Iterable[_Union[PathShare, _Mapping]]] = ..., pieces: _Optional[_Iterable[_Union[PathPiece, _Mapping]]] = ..., truncated: _Optional[bool] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PathShare(_message.Message):
    __slots__ = ("reason", "title", "duration", "fraction")
    REASON_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    reason: str
    title: str
    duration: _duration_pb2.Duration
    fraction: float
    def __init__(self, reason: _Optional[str] = ..., title: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., fraction: _Optional[float] = ...) -> None: ...

class PathPiece(_message.Message):
    __slots__ = ("action", "title", "reason", "message", "started_at", "ended_at")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    action: str
    title: str
    reason: str
    message: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    def __init__(self, action: _Optional[str] = ..., title: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetActivityRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "since", "until", "buckets")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    buckets: int
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., buckets: _Optional[int] = ...) -> None: ...

class GetActivityResponse(_message.Message):
    __slots__ = ("since", "until", "buckets")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    buckets: _containers.RepeatedCompositeFieldContainer[ActivityBucket]
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., buckets: _Optional[_Iterable[_Union[ActivityBucket, _Mapping]]] = ...) -> None: ...

class ActivityBucket(_message.Message):
    __slots__ = ("running", "starting", "waiting")
    class WaitingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    running: float
    starting: float
    waiting: _containers.ScalarMap[str, float]
    def __init__(self, running: _Optional[float] = ..., starting: _Optional[float] = ..., waiting: _Optional[_Mapping[str, float]] = ...) -> None: ...
