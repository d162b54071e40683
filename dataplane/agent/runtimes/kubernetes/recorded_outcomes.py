"""
Record an attempt's outcome on its TaskAction before its pod is deleted, for the next agent.

A failure is reported once the pod is gone. An agent that dies in between would leave nothing to
classify; its successor reads this record.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataplane.agent.kube.objects import Object
from shared.kit.timestamps import from_us, to_us
from shared.model.reports import ClusterEvent, EventType, Failure, FailureKind

ANNOTATION = "volary.dev/verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """
    How the attempt ended as the cluster shows it; the task's own error and outputs are in
    the store.
    """

    ended_well: bool
    failure: Failure | None  # after success: reported unless outputs prove it
    log_uri: str = ""
    last_lines: Sequence[str] = ()
    events: Sequence[ClusterEvent] = ()


def render_outcome(outcome: AttemptOutcome) -> str:
    failure = outcome.failure
    return json.dumps(
        {
            "endedWell": outcome.ended_well,
            "failure": None
            if failure is None
            else {
                "code": failure.code,
                "kind": failure.kind.name,
                "message": failure.message,
                "recoverable": failure.recoverable,
            },
            "log": outcome.log_uri,
            "lastLines": list(outcome.last_lines),
            "events": [[to_us(one.at), one.reason, one.message] for one in outcome.events],
            # Beside the events, whose three parts are all that an earlier release reads.
            "eventOrigins": [[one.type.value, one.count, one.source] for one in outcome.events],
        }
    )


def find_outcome(owner: Object) -> AttemptOutcome | None:
    """
    Return the outcome recorded on the TaskAction; None if there is none, or it is another
    attempt's.
    """
    text = (owner["metadata"].get("annotations") or {}).get(ANNOTATION)
    if not text:
        return None
    try:
        parsed = json.loads(text)
        failure = parsed["failure"]
        return AttemptOutcome(
            ended_well=bool(parsed["endedWell"]),
            failure=None
            if failure is None
            else Failure(
                code=str(failure["code"]),
                kind=FailureKind[failure["kind"]],
                message=str(failure["message"]),
                recoverable=bool(failure["recoverable"]),
            ),
            log_uri=str(parsed["log"]),
            last_lines=[str(line) for line in parsed["lastLines"]],
            events=_find_events(parsed),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _find_events(parsed: Mapping[str, Any]) -> list[ClusterEvent]:
    events = [ClusterEvent(at=from_us(at), reason=r, message=m) for at, r, m in parsed["events"]]
    origins = parsed.get("eventOrigins")
    if origins is None:  # an earlier release recorded it
        return events
    return [
        replace(event, type=EventType(kind), count=int(count), source=str(source))
        for event, (kind, count, source) in zip(events, origins, strict=True)
    ]
