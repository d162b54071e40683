"""Renders log lines."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from flyteidl2.logs.dataplane.payload_pb2 import LogLine as LogLineMessage

from shared.model.logs import LogLine

SILENT_FOR = timedelta(seconds=10)
"""
A followed log without a new line for so long gets an answer without lines.

After 30 seconds without an answer ``flyte run --follow`` cancels its read in order to ask whether
the action has ended, takes the error of the cancelled call for one of the server's, and fails.
"""


def render_log_lines(lines: Iterable[LogLine]) -> Sequence[LogLineMessage]:
    """Render lines with their newlines: the CLI prints messages unchanged, one after the other."""
    return [
        LogLineMessage(timestamp=line.at, message=f"{line.text}\n", originator=line.originator)
        for line in lines
    ]
