from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetUsageRequest(_message.Message):
    __slots__ = ("month", "since", "until", "project", "group_by", "limit")
    MONTH_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    month: str
    since: str
    until: str
    project: str
    group_by: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    def __init__(self, month: _Optional[str] = ..., since: _Optional[str] = ..., until: _Optional[str] = ..., project: _Optional[str] = ..., group_by: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("since", "until", "total", "rows", "complete")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    since: str
    until: str
    total: UsageAmounts
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    complete: bool
    def __init__(self, since: _Optional[str] = ..., until: _Optional[str] = ..., total: _Optional[_Union[UsageAmounts, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., complete: _Optional[bool] = ...) -> None: ...

class ListUsageRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "month", "project")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    month: str
    project: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., month: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...

class ListUsageResponse(_message.Message):
    __slots__ = ("rows", "next_page_token")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    next_page_token: str
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("day", "project", "domain", "task", "cluster", "queue", "amounts")
    DAY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    AMOUNTS_FIELD_NUMBER: _ClassVar[int]
    day: str
    project: str
    domain: str
    task: str
    cluster: str
    queue: str
    amounts: UsageAmounts
    def __init__(self, day: _Optional[str] = ..., project: _Optional[str] = ..., domain: _Optional[str] = ..., task: _Optional[str] = ..., cluster: _Optional[str] = ..., queue: _Optional[str] = ..., amounts: _Optional[_Union[UsageAmounts, _Mapping]] = ...) -> None: ...

class UsageAmounts(_message.Message):
    __slots__ = ("attempts", "action_seconds", "cpu_seconds", "memory_gib_seconds", "accelerator_seconds")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ACTION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_GIB_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    action_seconds: float
    cpu_seconds: float
    memory_gib_seconds: float
    accelerator_seconds: float
    def __init__(self, attempts: _Optional[int] = ..., action_seconds: _Optional[float] = ..., cpu_seconds: _Optional[float] = ..., memory_gib_seconds: _Optional[float] = ..., accelerator_seconds: _Optional[float] = ...) -> None: ...
