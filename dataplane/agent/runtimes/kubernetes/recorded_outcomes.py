"""
How an attempt ended, written down before its pod goes: on its TaskAction, for the next agent.

A failure is reported once the pod is gone. An agent that dies in between would find nothing
to judge by; it finds this.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dataplane.agent.core.timestamps import from_us, to_us
from dataplane.agent.kube.objects import Object
from shared.model.reports import ClusterEvent, Failure, FailureKind

ANNOTATION = "volary.dev/verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class AckStatus:
    """What the cluster says of the end; what the task itself says is in the store."""

    ended_well: bool
    failure: Failure | None  # if it ended well: what to say unless its outputs prove it right
    log_uri: str = ""
    last_lines: Sequence[str] = ()
    events: Sequence[ClusterEvent] = ()


def render_outcome(outcome: AckStatus) -> str:
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
        }
    )


def find_outcome(owner: Object) -> AckStatus | None:
    """Return what was written on the TaskAction; None if nothing was, or it is not ours."""
    text = (owner["metadata"].get("annotations") or {}).get(ANNOTATION)
    if not text:
        return None
    try:
        parsed = json.loads(text)
        failure = parsed["failure"]
        return AckStatus(
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
            events=[
                ClusterEvent(at=from_us(at), reason=r, message=m) for at, r, m in parsed["events"]
            ],
        )
    except (KeyError, TypeError, ValueError):
        return None
