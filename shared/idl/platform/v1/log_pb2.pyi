import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadLinesRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "action", "attempt", "first_line", "limit")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FIRST_LINE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    attempt: int
    first_line: int
    limit: int
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., attempt: _Optional[int] = ..., first_line: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ReadLinesResponse(_message.Message):
    __slots__ = ("attempt", "lines", "line_count", "complete")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    line_count: int
    complete: bool
    def __init__(self, attempt: _Optional[int] = ..., lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ..., line_count: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("number", "logged_at", "text", "system", "level", "matches")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LOGGED_AT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    number: int
    logged_at: _timestamp_pb2.Timestamp
    text: str
    system: bool
    level: str
    matches: bool
    def __init__(self, number: _Optional[int] = ..., logged_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., text: _Optional[str] = ..., system: _Optional[bool] = ..., level: _Optional[str] = ..., matches: _Optional[bool] = ...) -> None: ...

class SearchLinesRequest(_message.Message):
    __slots__ = ("project", "domain", "run", "action", "attempt", "pattern", "regex", "case_sensitive", "levels", "context", "first_line", "limit")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    CASE_SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FIRST_LINE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    attempt: int
    pattern: str
    regex: bool
    case_sensitive: bool
    levels: _containers.RepeatedScalarFieldContainer[str]
    context: int
    first_line: int
    limit: int
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., attempt: _Optional[int] = ..., pattern: _Optional[str] = ..., regex: _Optional[bool] = ..., case_sensitive: _Optional[bool] = ..., levels: _Optional[_Iterable[str]] = ..., context: _Optional[int] = ..., first_line: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class SearchLinesResponse(_message.Message):
    __slots__ = ("attempt", "lines", "match_count", "count_exact", "next_line", "line_count", "complete")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    MATCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNT_EXACT_FIELD_NUMBER: _ClassVar[int]
    NEXT_LINE_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    match_count: int
    count_exact: bool
    next_line: int
    line_count: int
    complete: bool
    def __init__(self, attempt: _Optional[int] = ..., lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ..., match_count: _Optional[int] = ..., count_exact: _Optional[bool] = ..., next_line: _Optional[int] = ..., line_count: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...
