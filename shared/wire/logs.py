"""Converts log lines to and from protobuf."""

from collections.abc import Sequence

from shared.idl.agent.v1 import call_pb2
from shared.kit.timestamps import to_us
from shared.model.logs import LogLine, Originator
from shared.wire.fields import parse_timestamp


def parse_log_chunk(message: call_pb2.LogChunk) -> Sequence[LogLine]:
    return [
        LogLine(parse_timestamp(line.at_us), line.text, _parse_originator(line.originator))
        for line in message.lines
    ]


def render_log_chunk(lines: Sequence[LogLine], last_line: int) -> call_pb2.LogChunk:
    return call_pb2.LogChunk(
        lines=[
            call_pb2.LogLine(at_us=to_us(line.at), text=line.text, originator=line.originator)
            for line in lines
        ],
        last_line=last_line,
    )


def _parse_originator(number: int) -> Originator:
    """Treat an originator added by a later release as SYSTEM: it is not the user's code."""
    return Originator.USER if number == Originator.USER else Originator.SYSTEM
