"""
Spans of what has ended.

A span is recorded when its work is over, by one call. So work that is not traced pays for one
test, whether a span is recorded can depend on its end (errors always are), and no context has to
be carried through code that does not trace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from shared.model.traces import TraceContext


class SpanKind(Enum):
    """OpenTelemetry's kinds, as far as they are used."""

    INTERNAL = auto()
    SERVER = auto()
    PRODUCER = auto()
    CONSUMER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One ended piece of work; ``parent`` is the id of a span of the same trace, "" for none."""

    name: str
    context: TraceContext
    parent: str = ""
    started_at: datetime
    ended_at: datetime
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""
    links: Sequence[TraceContext] = ()


class SpanRecorder(Protocol):
    """Takes spans; ``ratio`` of all runs are sampled, and every span with an error is."""

    is_on: bool
    ratio: float

    @property
    def counts(self) -> Mapping[str, int]:
        """How many spans were sent, failed (the collector took none) and dropped."""
        ...

    async def close(self) -> None:
        """Send what is queued, for a bounded time."""
        ...

    def record(self, span: Span) -> None:
        """Take a span without waiting; one that is not sampled and no error is dropped."""
        ...


class NoSpans:
    """Records nothing, where no collector is configured."""

    is_on = False
    ratio = 0.0
    counts: Mapping[str, int] = {}

    async def close(self) -> None:
        """Return at once."""

    def record(self, span: Span) -> None:
        """Drop the span."""


NO_SPANS = NoSpans()
