from shared.idl.agent.v1 import assignment_pb2 as _assignment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Call(_message.Message):
    __slots__ = ("id", "follow_logs")
    ID_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_LOGS_FIELD_NUMBER: _ClassVar[int]
    id: int
    follow_logs: FollowLogs
    def __init__(self, id: _Optional[int] = ..., follow_logs: _Optional[_Union[FollowLogs, _Mapping]] = ...) -> None: ...

class CallCredit(_message.Message):
    __slots__ = ("id", "chunks")
    ID_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    id: int
    chunks: int
    def __init__(self, id: _Optional[int] = ..., chunks: _Optional[int] = ...) -> None: ...

class CallCancel(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("id", "log_chunk", "done", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOG_CHUNK_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: int
    log_chunk: LogChunk
    done: Done
    error: CallError
    def __init__(self, id: _Optional[int] = ..., log_chunk: _Optional[_Union[LogChunk, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., error: _Optional[_Union[CallError, _Mapping]] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CallError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class FollowLogs(_message.Message):
    __slots__ = ("attempt", "after_line", "partial_lines")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AFTER_LINE_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_LINES_FIELD_NUMBER: _ClassVar[int]
    attempt: _assignment_pb2.AttemptId
    after_line: int
    partial_lines: bool
    def __init__(self, attempt: _Optional[_Union[_assignment_pb2.AttemptId, _Mapping]] = ..., after_line: _Optional[int] = ..., partial_lines: _Optional[bool] = ...) -> None: ...

class LogChunk(_message.Message):
    __slots__ = ("lines", "last_line", "partial")
    LINES_FIELD_NUMBER: _ClassVar[int]
    LAST_LINE_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    last_line: int
    partial: LogLine
    def __init__(self, lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ..., last_line: _Optional[int] = ..., partial: _Optional[_Union[LogLine, _Mapping]] = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("at_us", "text", "originator")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ORIGINATOR_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    text: str
    originator: int
    def __init__(self, at_us: _Optional[int] = ..., text: _Optional[str] = ..., originator: _Optional[int] = ...) -> None: ...
