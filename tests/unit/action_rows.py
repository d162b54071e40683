"""A row of a run's root action, which tests vary."""

from datetime import UTC, datetime
from uuid import UUID

from controlplane.core.actions import ActionRow, ActionType, RunSource, TaskInfo
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunId,
    RunKey,
    RunName,
)
from shared.model.phases import Phase

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = RunKey(ProjectName("p"), DomainName("development"), RunName("r1"))
ADA = "user:ada"
ROW = ActionRow(
    org=OrgName("acme"),
    id=ActionId(UUID(int=1)),
    run_id=RunId(UUID(int=1)),
    key=ActionKey(RUN, ActionName("a0")),
    parent=None,
    type=ActionType.TASK,
    info=TaskInfo(org="acme", name="env.task", short_name="task", task_type="python"),
    group="",
    phase=Phase.RUNNING,
    attempts=1,
    created_at=NOW,
    started_at=None,
    ended_at=None,
    updated_at=NOW,
    created_by=ADA,
    output_prefix="",
    output_uri="",
    report_uri="",
    failure=None,
    abort_reason="",
    aborted_by="",
    condition_type=b"",
    value=b"",
    signalled_by="",
    source=RunSource.CLI,
    labels={},
    relation=None,
    recovered_from=None,
    change=1,
)
