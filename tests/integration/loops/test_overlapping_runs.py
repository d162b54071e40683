"""Policies of triggers for runs that overlap: allow, skip, replace."""

from datetime import timedelta

from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import ListRunsRequest
from sqlalchemy import text

from shared.model.phases import Phase
from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.requests import refusal
from tests.integration.api.triggers import deploy_scheduled, of_task, trigger_name
from tests.integration.loops.firing_history import firings, short
from tests.integration.loops.scheduling import (
    MINUTE,
    SetClock,
    api,
    claim_all,
    clock,
    first_instant,
    make,
    rows,
    state,
)

__all__ = ["api", "clock"]


async def deploy(api: ApiUnderTest, policy: str) -> None:
    request = deploy_scheduled(of_task())
    request.triggers[0].spec.run_spec.labels.values["volary.dev/overlap"] = policy
    await api.tasks.deploy_task(request)


async def phases(api: ApiUnderTest) -> list[int]:
    """Return the phases of the trigger's runs, the newest first."""
    found = await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))
    return [run.action.status.phase for run in found.runs]


async def test_trigger_that_skips_waits_for_its_run_to_end(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await deploy(api, "skip")
    first = await first_instant(api)
    clock.time = first
    assert await make(api, clock).run_once() == 1
    clock.time = first + 3 * MINUTE
    assert await make(api, clock).run_once() == 0
    [assignment] = await claim_all(api, clock.time)
    await api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED)
    clock.time = first + 4 * MINUTE
    assert await make(api, clock).run_once() == 1

    found = await firings(api)
    assert [short(each) for each in found] == [
        ("started", "on_time", 1),
        ("skipped", "overlap", 3),
        ("started", "on_time", 1),
    ]
    assert found[1].message == f"run {found[2].run} has not ended"
    assert await state(api) == (3, "")


async def test_trigger_that_replaces_aborts_its_run_and_starts_the_next(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await deploy(api, "replace")
    first = await first_instant(api)
    clock.time = first
    assert await make(api, clock).run_once() == 1
    clock.time = first + 3 * MINUTE + timedelta(seconds=1)
    assert await make(api, clock).run_once() == 1

    assert await phases(api) == [ActionPhase.ACTION_PHASE_QUEUED, ActionPhase.ACTION_PHASE_ABORTED]
    assert [short(each) for each in await firings(api)] == [
        ("started", "on_time", 1),
        ("skipped", "superseded", 2),
        ("started", "on_time", 1),
    ]
    [(reason,)] = await rows(api, "SELECT abort_reason FROM actions WHERE abort_reason <> ''")
    assert reason == "replaced by the next scheduled run of trigger nightly"


async def test_run_that_cannot_be_replaced_now_is_replaced_by_a_later_pass(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await deploy(api, "replace")
    first = await first_instant(api)
    clock.time = first
    assert await make(api, clock).run_once() == 1
    clock.time = first + MINUTE
    async with api.database.for_org(ORG) as tx:
        await tx.rows(text("SELECT 1 FROM runs FOR UPDATE"))
        assert await make(api, clock).run_once() == 0
    clock.time += timedelta(seconds=10)
    assert await make(api, clock).run_once() == 1

    assert await phases(api) == [ActionPhase.ACTION_PHASE_QUEUED, ActionPhase.ACTION_PHASE_ABORTED]


async def test_unknown_policy_is_refused_at_deployment(api: ApiUnderTest) -> None:
    code, message = await refusal(deploy(api, "sometimes"))

    assert code is Code.INVALID_ARGUMENT
    assert "'sometimes' is no policy" in message
    assert "allow, skip, replace" in message
