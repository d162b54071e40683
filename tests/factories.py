"""Values for tests: valid by default; override what matters."""

import hashlib
from datetime import UTC, datetime

from controlplane.core.actions import ActionType, NewAction, RetryPolicy, Spec, SpecKind, TaskInfo
from controlplane.core.runs import NewRun
from shared.model.assignments import Assignment
from shared.model.ids import (
    ROOT,
    ActionKey,
    ActionName,
    Digest,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind, Report

ORG = OrgName("acme")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def make_run_key(name: str = "r1", *, project: str = "p") -> RunKey:
    return RunKey(ProjectName(project), DomainName("development"), RunName(name))


def make_action_key(name: str = "a0", *, run: str = "r1") -> ActionKey:
    return ActionKey(make_run_key(run), ActionName(name))


def make_spec(body: bytes = b"a task", *, kind: SpecKind = SpecKind.TASK, retries: int = 0) -> Spec:
    digest = Digest(hashlib.sha256(body + bytes([kind, retries])).digest())
    return Spec(digest=digest, kind=kind, body=body, policy=RetryPolicy(retries=retries))


def make_new_run(name: str = "r1", *, retries: int = 0, body: bytes = b"a task") -> NewRun:
    return NewRun(
        key=ActionKey(make_run_key(name), ROOT),
        spec=make_spec(body, retries=retries),
        run_spec=make_spec(b"a run", kind=SpecKind.RUN),
        info=TaskInfo(name="env.parent", version="v1", task_type="python"),
        input_uri="file:///blobs/inputs.pb",
        run_base=f"file:///blobs/acme/p/development/{name}",
    )


def make_new_action(
    name: str,
    *,
    run: str = "r1",
    parent: str = "a0",
    body: bytes = b"a child",
    retries: int = 0,
    kind: ActionType = ActionType.TASK,
) -> NewAction:
    return NewAction(
        key=make_action_key(name, run=run),
        parent=ActionName(parent),
        type=kind,
        spec=make_spec(body, retries=retries),
        info=TaskInfo(name="env.child", version="v1", task_type="python"),
        input_uri=f"file:///blobs/acme/p/development/{run}/{name}/inputs.pb",
    )


def make_report(
    assignment: Assignment,
    version: int,
    phase: Phase,
    *,
    failure: Failure | None = None,
    at: datetime = NOW,
) -> Report:
    return Report(
        attempt=assignment.attempt,
        lease=assignment.lease,
        version=version,
        phase=phase,
        at=at,
        failure=failure,
        output_uri=assignment.output_prefix if phase is Phase.SUCCEEDED else "",
    )


def make_failure(kind: FailureKind = FailureKind.USER, *, recoverable: bool = True) -> Failure:
    return Failure(code="Broken", kind=kind, message="it broke", recoverable=recoverable)
