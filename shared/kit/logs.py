"""
Log formats: one line for each event, as text or as JSON.

Messages are constants; variable values go into ``extra`` and are written as fields. Each
program calls :func:`configure` once, at its start; no other code configures logging.
"""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

from shared.kit.log_context import ContextFilter

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}

_CHATTY = ("alembic", "asyncio", "grpc", "httpcore", "httpx", "uvicorn")
"""Libraries whose INFO lines are noise: only their warnings are logged."""


def configure(*, level: str, json_lines: bool = False, stream: TextIO | None = None) -> None:
    """Log every record of ``level`` and above to ``stream`` (default: stderr)."""
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.addFilter(ContextFilter())
    handler.setFormatter(JsonLines() if json_lines else Text(colours=target.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class Text(logging.Formatter):
    """Formats a record for people: ``12:34:56.789 INFO    agent connected  cluster=local epoch=3``."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        level = self._paint(f"{record.levelname:<7}", _COLOURS.get(record.levelname, "0"))
        fields = " ".join(f"{name}={_shown(value)}" for name, value in _fields(record))
        line = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {level} {record.getMessage()}"
        if fields:
            line = f"{line}  {self._paint(fields, '2')}"
        if record.exc_info:
            line = f"{line}\n{_indented(self.formatException(record.exc_info))}"
        return line

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object on one line; standard keys first, then ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _fields(record) if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    for name, value in vars(record).items():
        if name not in _STANDARD and not name.startswith("_"):
            yield name, value


def _shown(value: object) -> str:
    """Render a field's value on one line; quoted if it contains spaces, quotes or ``=``."""
    text = str(value)
    plain = text.isprintable() and not any(mark in text for mark in ' "=')
    return text if plain and text else _printable(json.dumps(text, ensure_ascii=False))


def _indented(trace: str) -> str:
    """Indent a traceback: the message of an exception may look like log lines."""
    return "\n".join(f"  {_printable(line)}" for line in trace.splitlines())


def _printable(text: str) -> str:
    """Escape what a terminal would act upon, or show as another text than it is."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
