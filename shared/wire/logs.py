"""Converts log lines to and from protobuf."""

from shared.idl.agent.v1 import call_pb2
from shared.kit.timestamps import to_us
from shared.model.logs import LogChunk, LogLine, Originator
from shared.wire.fields import parse_timestamp


def parse_log_chunk(message: call_pb2.LogChunk) -> LogChunk:
    return LogChunk(
        [_parse_line(line) for line in message.lines],
        message.last_line,
        _parse_line(message.partial) if message.HasField("partial") else None,
    )


def render_log_chunk(chunk: LogChunk) -> call_pb2.LogChunk:
    return call_pb2.LogChunk(
        lines=[_render_line(line) for line in chunk.lines],
        last_line=chunk.last_line,
        partial=None if chunk.partial is None else _render_line(chunk.partial),
    )


def _parse_line(line: call_pb2.LogLine) -> LogLine:
    return LogLine(parse_timestamp(line.at_us), line.text, _parse_originator(line.originator))


def _render_line(line: LogLine) -> call_pb2.LogLine:
    return call_pb2.LogLine(at_us=to_us(line.at), text=line.text, originator=line.originator)


def _parse_originator(number: int) -> Originator:
    """Treat an originator added by a later release as SYSTEM: it is not the user's code."""
    return Originator.USER if number == Originator.USER else Originator.SYSTEM
