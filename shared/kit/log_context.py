"""
Fields that every log record gets while a piece of work runs: its org, run, action, trace.

They are found when a record is written, so work that logs nothing pays for a closure only.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Fields = Callable[[], Mapping[str, object]]

_current: ContextVar[tuple[Fields, ...]] = ContextVar("log fields", default=())


@contextmanager
def log_fields(fields: Fields) -> Iterator[None]:
    """Add fields to the records of a block, and of the tasks that it starts."""
    token = _current.set((*_current.get(), fields))
    try:
        yield
    finally:
        _current.reset(token)


class ContextFilter(logging.Filter):
    """Adds the fields to a record; those that it has itself, and those of inner blocks, win."""

    def filter(self, record: logging.LogRecord) -> bool:
        for fields in reversed(_current.get()):
            for name, value in fields().items():
                if name not in record.__dict__:
                    record.__dict__[name] = value
        return True
