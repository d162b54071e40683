"""Factories of assignments for the agent's tests: valid by default; override what matters."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from flyteidl2.core import tasks_pb2

from dataplane.agent.core.active_attempts import ActiveAttempt
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import Container, RunSettings, Task, Variable
from shared.model.assignments import Assignment
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    Digest,
    DomainName,
    LeaseId,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RUN = RunKey(ProjectName("p"), DomainName("development"), RunName("r1"))


EMPTY_SPEC = Digest(sha256(b"").digest())


def make_assignment(
    number: int = 1,
    *,
    base: str = "file:///blobs",
    parent: str | None = None,
    task_type: str = "python",
    attempt: int = 1,
) -> Assignment:
    """Return assignment ``number``, with its own action, attempt and lease."""
    action = f"a{number}"
    run_base = f"{base}/acme/p/development/r1"
    return Assignment(
        org=OrgName("acme"),
        key=ActionKey(RUN, ActionName(action)),
        attempt=AttemptId(ActionId(UUID(int=number)), attempt),
        lease=LeaseId(UUID(int=1000 * attempt + number)),
        parent=None if parent is None else ActionName(parent),
        task_type=task_type,
        task_spec=EMPTY_SPEC,
        run_spec=EMPTY_SPEC,
        input_uri=f"{run_base}/{action}/inputs.pb",
        run_base=run_base,
        output_prefix=f"{run_base}/{action}/{attempt}",
        previous_output_prefix=f"{run_base}/{action}/{attempt - 1}" if attempt > 1 else "",
        raw_data_prefix=f"{base}/raw/r1/{action}",
        run_started_at=NOW,
    )


def make_active(number: int = 1) -> ActiveAttempt:
    return ActiveAttempt(assignment=make_assignment(number), accepted_at=NOW)


def make_job(
    assignment: Assignment | None = None,
    *,
    args: tuple[str, ...] = ("a0",),
    env: Mapping[str, str] | None = None,
    run_env: Mapping[str, str] | None = None,
    inputs: tuple[Variable, ...] = (),
    outputs: tuple[Variable, ...] = (),
    template: tasks_pb2.TaskTemplate | None = None,
) -> Job:
    assignment = make_assignment() if assignment is None else assignment
    return Job(
        assignment=assignment,
        task=Task(
            name="t.work",
            type=assignment.task_type,
            container=Container(args=args, env=env or {}),
            inputs=inputs,
            outputs=outputs,
            has_report=False,
            max_runtime=None,
            template=tasks_pb2.TaskTemplate(type=assignment.task_type)
            if template is None
            else template,
        ),
        run=RunSettings(env=run_env or {}),
        accepted_at=NOW,
    )


def with_lease(assignment: Assignment, lease: int) -> Assignment:
    return replace(assignment, lease=LeaseId(UUID(int=lease)))
