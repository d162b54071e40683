"""
Trace contexts of runs, actions and attempts, in the terms of W3C Trace Context.

The ids of a run's trace, of its actions' spans and of their attempts' follow from their names. So
every program finds them without being told, nothing is stored for them, and all attempts of a run
are in one trace.
"""

import re
from dataclasses import dataclass
from hashlib import sha256

from shared.model.ids import ActionKey, OrgName, RunKey

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_LOW_BITS = 64


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span, as others name it: ids in hexadecimal, and whether its trace is recorded."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(text: str) -> TraceContext | None:
    """Return the context in a ``traceparent`` header; None if there is none, or it is invalid."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    if found[4] and text.startswith("00"):  # only later versions may have more fields
        return None
    return TraceContext(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))


def render_traceparent(context: TraceContext) -> str:
    return f"00-{context.trace_id}-{context.span_id}-{'01' if context.sampled else '00'}"


def trace_id_of(org: OrgName, run: RunKey) -> str:
    """Return the id of a run's trace."""
    return sha256(f"{org}/{run}".encode()).hexdigest()[:32]


def context_of_action(org: OrgName, action: ActionKey, *, ratio: float) -> TraceContext:
    """Return the context of an action's span; ``ratio`` of all runs are sampled."""
    trace_id = trace_id_of(org, action.run)
    span_id = sha256(f"{trace_id}/{action.name}".encode()).hexdigest()[:16]
    return TraceContext(trace_id, span_id, is_sampled(trace_id, ratio))


def context_of_attempt(action: TraceContext, number: int) -> TraceContext:
    """Return the context of the span of an attempt, which is a child of its action's."""
    span_id = sha256(f"{action.trace_id}/{action.span_id}/{number}".encode()).hexdigest()[:16]
    return TraceContext(action.trace_id, span_id, action.sampled)


def context_of_part(attempt: TraceContext, part: str) -> TraceContext:
    """Return the context of the one span of a part of an attempt: wait, start, commit."""
    span_id = sha256(f"{attempt.trace_id}/{attempt.span_id}/{part}".encode()).hexdigest()[:16]
    return TraceContext(attempt.trace_id, span_id, attempt.sampled)


def is_sampled(trace_id: str, ratio: float) -> bool:
    """Decide as OpenTelemetry's TraceIdRatioBased sampler does."""
    bound: int = round(ratio * 2**_LOW_BITS)
    return int(trace_id[16:], 16) < bound


def describe_action(org: OrgName, action: ActionKey) -> dict[str, str]:
    """Return the fields of log records about an action; its trace id, whether it is recorded or not."""
    return {"org": org, "action": str(action), "trace_id": trace_id_of(org, action.run)}
