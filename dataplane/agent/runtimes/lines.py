"""
A line of an attempt's log, as it is kept and shipped: ``{"t": microseconds, "m": text, "o": who}``.

Every runtime writes this format, so that whoever reads a log need not know which one did.
"""

import json

from dataplane.agent.core.instants import from_us, to_us
from shared.model.logs import LogLine, Originator


def encode_line(line: LogLine) -> bytes:
    """Return the line with its end; what is no text becomes question marks."""
    said = {"t": to_us(line.at), "m": line.text, "o": int(line.originator)}
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace") + b"\n"


def decode_line(raw: bytes) -> LogLine:
    said = json.loads(raw)
    return LogLine(from_us(said["t"]), said["m"], Originator(said["o"]))
