import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from shared.idl.platform.v1 import run_tree_pb2 as _run_tree_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunFilter(_message.Message):
    __slots__ = ("project", "domain", "task", "phases", "created_by", "text", "labels", "since", "until", "archived")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    task: str
    phases: _containers.RepeatedScalarFieldContainer[str]
    created_by: str
    text: str
    labels: _containers.ScalarMap[str, str]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    archived: bool
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., task: _Optional[str] = ..., phases: _Optional[_Iterable[str]] = ..., created_by: _Optional[str] = ..., text: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., archived: _Optional[bool] = ...) -> None: ...

class ListRunRowsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: RunFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[RunFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunRowsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[RunRow]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[RunRow, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RunRow(_message.Message):
    __slots__ = ("project", "domain", "run", "task", "task_version", "title", "phase", "created_at", "started_at", "ended_at", "created_by", "source", "trigger", "labels", "actions", "partial", "first_error", "abort_reason", "aborted_by", "archived_at", "archived_by", "held")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    TASK_VERSION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    FIRST_ERROR_FIELD_NUMBER: _ClassVar[int]
    ABORT_REASON_FIELD_NUMBER: _ClassVar[int]
    ABORTED_BY_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_AT_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_BY_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    task: str
    task_version: str
    title: str
    phase: str
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    created_by: str
    source: str
    trigger: str
    labels: _containers.ScalarMap[str, str]
    actions: _containers.RepeatedCompositeFieldContainer[_run_tree_pb2.PhaseCount]
    partial: bool
    first_error: RunError
    abort_reason: str
    aborted_by: str
    archived_at: _timestamp_pb2.Timestamp
    archived_by: str
    held: bool
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., task: _Optional[str] = ..., task_version: _Optional[str] = ..., title: _Optional[str] = ..., phase: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., source: _Optional[str] = ..., trigger: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., actions: _Optional[_Iterable[_Union[_run_tree_pb2.PhaseCount, _Mapping]]] = ..., partial: _Optional[bool] = ..., first_error: _Optional[_Union[RunError, _Mapping]] = ..., abort_reason: _Optional[str] = ..., aborted_by: _Optional[str] = ..., archived_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., archived_by: _Optional[str] = ..., held: _Optional[bool] = ...) -> None: ...

class RunError(_message.Message):
    __slots__ = ("action", "kind", "code", "message")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    action: str
    kind: str
    code: str
    message: str
    def __init__(self, action: _Optional[str] = ..., kind: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SummarizeRunsRequest(_message.Message):
    __slots__ = ("filter", "buckets")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    filter: RunFilter
    buckets: int
    def __init__(self, filter: _Optional[_Union[RunFilter, _Mapping]] = ..., buckets: _Optional[int] = ...) -> None: ...

class SummarizeRunsResponse(_message.Message):
    __slots__ = ("since", "until", "buckets", "phases", "counted_since")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    COUNTED_SINCE_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    buckets: _containers.RepeatedCompositeFieldContainer[RunBucket]
    phases: _containers.RepeatedCompositeFieldContainer[_run_tree_pb2.PhaseCount]
    counted_since: _timestamp_pb2.Timestamp
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., buckets: _Optional[_Iterable[_Union[RunBucket, _Mapping]]] = ..., phases: _Optional[_Iterable[_Union[_run_tree_pb2.PhaseCount, _Mapping]]] = ..., counted_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RunBucket(_message.Message):
    __slots__ = ("phases",)
    PHASES_FIELD_NUMBER: _ClassVar[int]
    phases: _containers.RepeatedCompositeFieldContainer[_run_tree_pb2.PhaseCount]
    def __init__(self, phases: _Optional[_Iterable[_Union[_run_tree_pb2.PhaseCount, _Mapping]]] = ...) -> None: ...

class GetRetentionPolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRetentionPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: RetentionPolicy
    def __init__(self, policy: _Optional[_Union[RetentionPolicy, _Mapping]] = ...) -> None: ...

class RetentionPolicy(_message.Message):
    __slots__ = ("runs", "unused_cache_entries", "attempt_events")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    UNUSED_CACHE_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_EVENTS_FIELD_NUMBER: _ClassVar[int]
    runs: _duration_pb2.Duration
    unused_cache_entries: _duration_pb2.Duration
    attempt_events: _duration_pb2.Duration
    def __init__(self, runs: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., unused_cache_entries: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., attempt_events: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetRunRetentionRequest(_message.Message):
    __slots__ = ("project", "domain", "run")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class GetRunRetentionResponse(_message.Message):
    __slots__ = ("retention",)
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    retention: RunRetention
    def __init__(self, retention: _Optional[_Union[RunRetention, _Mapping]] = ...) -> None: ...

class PurgeRunRequest(_message.Message):
    __slots__ = ("project", "domain", "run")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class PurgeRunResponse(_message.Message):
    __slots__ = ("retention",)
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    retention: RunRetention
    def __init__(self, retention: _Optional[_Union[RunRetention, _Mapping]] = ...) -> None: ...

class SetRunsStateRequest(_message.Message):
    __slots__ = ("project", "domain", "runs", "state")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    runs: _containers.RepeatedScalarFieldContainer[str]
    state: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., runs: _Optional[_Iterable[str]] = ..., state: _Optional[str] = ...) -> None: ...

class SetRunsStateResponse(_message.Message):
    __slots__ = ("changed",)
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    changed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changed: _Optional[_Iterable[str]] = ...) -> None: ...

class HoldRunRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "reason")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    reason: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class HoldRunResponse(_message.Message):
    __slots__ = ("retention",)
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    retention: RunRetention
    def __init__(self, retention: _Optional[_Union[RunRetention, _Mapping]] = ...) -> None: ...

class ReleaseRunRequest(_message.Message):
    __slots__ = ("project", "domain", "run")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class ReleaseRunResponse(_message.Message):
    __slots__ = ("retention",)
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    retention: RunRetention
    def __init__(self, retention: _Optional[_Union[RunRetention, _Mapping]] = ...) -> None: ...

class RunRetention(_message.Message):
    __slots__ = ("ended_at", "expires_at", "purging_since", "holds")
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    PURGING_SINCE_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    ended_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    purging_since: _timestamp_pb2.Timestamp
    holds: _containers.RepeatedCompositeFieldContainer[RunHold]
    def __init__(self, ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., purging_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., holds: _Optional[_Iterable[_Union[RunHold, _Mapping]]] = ...) -> None: ...

class RunHold(_message.Message):
    __slots__ = ("kind", "holder", "remedy")
    KIND_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    holder: str
    remedy: str
    def __init__(self, kind: _Optional[str] = ..., holder: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...
