import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetTreeRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "view")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    view: TreeView
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., view: _Optional[_Union[TreeView, _Mapping]] = ...) -> None: ...

class GetTreeResponse(_message.Message):
    __slots__ = ("tree",)
    TREE_FIELD_NUMBER: _ClassVar[int]
    tree: Tree
    def __init__(self, tree: _Optional[_Union[Tree, _Mapping]] = ...) -> None: ...

class WatchTreeRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "view")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    view: TreeView
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., view: _Optional[_Union[TreeView, _Mapping]] = ...) -> None: ...

class WatchTreeResponse(_message.Message):
    __slots__ = ("tree",)
    TREE_FIELD_NUMBER: _ClassVar[int]
    tree: Tree
    def __init__(self, tree: _Optional[_Union[Tree, _Mapping]] = ...) -> None: ...

class TreeView(_message.Message):
    __slots__ = ("nodes", "sort", "reversed", "phases", "text", "error_codes")
    NODES_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[TreeNode]
    sort: str
    reversed: bool
    phases: _containers.RepeatedScalarFieldContainer[str]
    text: str
    error_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, nodes: _Optional[_Iterable[_Union[TreeNode, _Mapping]]] = ..., sort: _Optional[str] = ..., reversed: _Optional[bool] = ..., phases: _Optional[_Iterable[str]] = ..., text: _Optional[str] = ..., error_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class TreeNode(_message.Message):
    __slots__ = ("parent", "fold", "offset", "limit")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FOLD_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    fold: TreeFold
    offset: int
    limit: int
    def __init__(self, parent: _Optional[str] = ..., fold: _Optional[_Union[TreeFold, _Mapping]] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class TreeFold(_message.Message):
    __slots__ = ("group", "task")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    group: str
    task: str
    def __init__(self, group: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class Tree(_message.Message):
    __slots__ = ("change", "as_of", "phases", "root", "windows", "ancestors")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    ANCESTORS_FIELD_NUMBER: _ClassVar[int]
    change: int
    as_of: _timestamp_pb2.Timestamp
    phases: _containers.RepeatedCompositeFieldContainer[PhaseCount]
    root: TreeRow
    windows: _containers.RepeatedCompositeFieldContainer[TreeWindow]
    ancestors: _containers.RepeatedCompositeFieldContainer[TreeRow]
    def __init__(self, change: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., phases: _Optional[_Iterable[_Union[PhaseCount, _Mapping]]] = ..., root: _Optional[_Union[TreeRow, _Mapping]] = ..., windows: _Optional[_Iterable[_Union[TreeWindow, _Mapping]]] = ..., ancestors: _Optional[_Iterable[_Union[TreeRow, _Mapping]]] = ...) -> None: ...

class PhaseCount(_message.Message):
    __slots__ = ("phase", "count")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    phase: str
    count: int
    def __init__(self, phase: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class TreeWindow(_message.Message):
    __slots__ = ("node", "total", "folds", "folds_left_out", "names", "rows")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FOLDS_FIELD_NUMBER: _ClassVar[int]
    FOLDS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    node: int
    total: int
    folds: _containers.RepeatedCompositeFieldContainer[TreeFoldCounts]
    folds_left_out: int
    names: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedCompositeFieldContainer[TreeRow]
    def __init__(self, node: _Optional[int] = ..., total: _Optional[int] = ..., folds: _Optional[_Iterable[_Union[TreeFoldCounts, _Mapping]]] = ..., folds_left_out: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[_Union[TreeRow, _Mapping]]] = ...) -> None: ...

class TreeFoldCounts(_message.Message):
    __slots__ = ("fold", "total", "phases", "shortest", "median", "longest")
    FOLD_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    SHORTEST_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_FIELD_NUMBER: _ClassVar[int]
    LONGEST_FIELD_NUMBER: _ClassVar[int]
    fold: TreeFold
    total: int
    phases: _containers.RepeatedCompositeFieldContainer[PhaseCount]
    shortest: _duration_pb2.Duration
    median: _duration_pb2.Duration
    longest: _duration_pb2.Duration
    def __init__(self, fold: _Optional[_Union[TreeFold, _Mapping]] = ..., total: _Optional[int] = ..., phases: _Optional[_Iterable[_Union[PhaseCount, _Mapping]]] = ..., shortest: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., median: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., longest: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TreeRow(_message.Message):
    __slots__ = ("name", "parent", "fold", "title", "kind", "phase", "enqueued_at", "started_at", "ended_at", "attempts", "latest_attempts", "reason", "message", "error_kind", "error_code", "error", "cache_status", "children")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FOLD_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ENQUEUED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LATEST_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_KIND_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CACHE_STATUS_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    name: str
    parent: str
    fold: TreeFold
    title: str
    kind: str
    phase: str
    enqueued_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    attempts: int
    latest_attempts: _containers.RepeatedCompositeFieldContainer[TreeAttempt]
    reason: str
    message: str
    error_kind: str
    error_code: str
    error: str
    cache_status: str
    children: _containers.RepeatedCompositeFieldContainer[PhaseCount]
    def __init__(self, name: _Optional[str] = ..., parent: _Optional[str] = ..., fold: _Optional[_Union[TreeFold, _Mapping]] = ..., title: _Optional[str] = ..., kind: _Optional[str] = ..., phase: _Optional[str] = ..., enqueued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempts: _Optional[int] = ..., latest_attempts: _Optional[_Iterable[_Union[TreeAttempt, _Mapping]]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., error_kind: _Optional[str] = ..., error_code: _Optional[str] = ..., error: _Optional[str] = ..., cache_status: _Optional[str] = ..., children: _Optional[_Iterable[_Union[PhaseCount, _Mapping]]] = ...) -> None: ...

class TreeAttempt(_message.Message):
    __slots__ = ("number", "cluster", "phase", "available_at", "leased_at", "started_at", "ended_at", "error_code")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_AT_FIELD_NUMBER: _ClassVar[int]
    LEASED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    number: int
    cluster: str
    phase: str
    available_at: _timestamp_pb2.Timestamp
    leased_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    error_code: str
    def __init__(self, number: _Optional[int] = ..., cluster: _Optional[str] = ..., phase: _Optional[str] = ..., available_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., leased_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error_code: _Optional[str] = ...) -> None: ...
