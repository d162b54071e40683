"""Renders log lines."""

from collections.abc import Iterable, Sequence

from flyteidl2.logs.dataplane.payload_pb2 import LogLine as LogLineMessage

from shared.model.logs import LogLine


def render_log_lines(lines: Iterable[LogLine]) -> Sequence[LogLineMessage]:
    """Render lines with their newlines: the CLI prints messages unchanged, one after the other."""
    return [
        LogLineMessage(timestamp=line.at, message=f"{line.text}\n", originator=line.originator)
        for line in lines
    ]
