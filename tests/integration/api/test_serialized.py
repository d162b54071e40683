"""Serialized cached actions: of equal ones one runs at a time, and the others get its outputs."""

import asyncio
from datetime import timedelta
from functools import partial

from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.reason_codes import Reason
from controlplane.feeds.feeds import Feeds
from controlplane.loops.cache_waiters import CacheWaiters
from controlplane.store.notify.notifications import listen
from controlplane.usecases.cache_checks import CacheChecks
from controlplane.usecases.explanations import Explanations, PendingAction
from shared.kit.clock import SystemClock
from shared.model.assignments import Assignment
from shared.model.ids import DomainName, ProjectName, RunKey, RunName
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.integration.api.caching import (
    HIT,
    MISS,
    POPULATED,
    QUEUED,
    SUCCEEDED,
    cached_run,
    cached_spec,
    child,
    details,
    run_everything,
    run_in,
)
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import run_id

READER = Caller(subject=Subject("user:1"), org=ORG, name="", grants=org_wide(EVERYTHING))
RUN = RunKey(ProjectName(PROJECT), DomainName(DOMAIN), RunName("r1"))

BROKEN = Failure(code="Broken", kind=FailureKind.USER, message="it broke", recoverable=False)
ABORTED = Phase.ABORTED.value


def spec(name: str = "env.child", **more: object) -> TaskSpec:
    return cached_spec(name, serialize=True, **more)  # type: ignore[arg-type]


def make_loop(api: ApiUnderTest, feeds: Feeds | None = None) -> CacheWaiters:
    clock = SystemClock()
    return CacheWaiters(
        api.database,
        (feeds or Feeds(api.database, partial(listen, ""))).reservations,
        clock,
        checks=CacheChecks(api.database, api.blobs, clock),
        every=timedelta(hours=1),
    )


async def start(api: ApiUnderTest, *names: str, overwrite_cache: bool = False) -> None:
    """Create runs whose roots run."""
    for name in names:
        await api.runs.create_run(run_in(PROJECT, name, overwrite_cache=overwrite_cache))
    await run_everything(api)


async def enqueue(api: ApiUnderTest, *names: str, run: str = "r1", **more: str) -> None:
    for name in names:
        await api.actions.enqueue(child(api, name, run=run, spec=spec(), **more))


async def claim_one(api: ApiUnderTest) -> Assignment:
    [assignment] = await api.claim()
    await api.report(assignment, Phase.RUNNING)
    return assignment


async def count(api: ApiUnderTest, table: str) -> int:
    async with api.database.for_org(ORG) as tx:
        [row] = await tx.rows(text(f"SELECT count(*) AS rows FROM {table}"))  # noqa: S608
    return int(row.rows)


async def test_of_twenty_equal_actions_of_five_runs_one_runs_and_the_others_get_its_outputs(
    api: ApiUnderTest,
) -> None:
    runs = [f"r{number}" for number in range(5)]
    names = [f"c{number}" for number in range(4)]
    await start(api, *runs)
    await asyncio.gather(
        *(
            api.actions.enqueue(child(api, each, run=run, spec=spec()))
            for run in runs
            for each in names
        )
    )
    assert len(await run_everything(api)) == 1
    assert await make_loop(api).run_once() == 19

    found = [(await details(api, each, run=run)).status for run in runs for each in names]
    assert {each.phase for each in found} == {SUCCEEDED}
    statuses = [each.cache_status for each in found]
    assert (statuses.count(POPULATED), statuses.count(HIT)) == (1, 19)
    assert await run_everything(api) == []
    assert (await count(api, "cache_waiters"), await count(api, "cache_reservations")) == (0, 0)


async def test_waiting_action_is_queued_and_starts_no_attempt(api: ApiUnderTest) -> None:
    await start(api, "r1")
    await enqueue(api, "c1", "c2")
    assert await run_everything(api, only="none") == ["r1/c1"]
    status = (await details(api, "c2")).status
    assert (status.phase, status.cache_status) == (QUEUED, MISS)


async def test_oldest_waiter_runs_after_the_first_failed_and_the_others_get_its_outputs(
    api: ApiUnderTest,
) -> None:
    await start(api, "r1", "r2")
    await enqueue(api, "c1", "c2", "c3")
    await enqueue(api, "c4", run="r2")
    await api.report(await claim_one(api), Phase.FAILED, failure=BROKEN, first_version=2)
    loop = make_loop(api)
    assert await loop.run_once() == 1
    assert await run_everything(api) == ["r1/c2"]
    assert await loop.run_once() == 2
    for name, run in (("c3", "r1"), ("c4", "r2")):
        assert (await details(api, name, run=run)).status.cache_status == HIT


async def test_waiter_runs_after_the_run_of_the_first_was_aborted(api: ApiUnderTest) -> None:
    await start(api, "r1", "r2")
    await enqueue(api, "c1")
    await enqueue(api, "c2", "c3", "c4", run="r2")
    await claim_one(api)
    await api.runs.abort_run(AbortRunRequest(run_id=run_id("r1"), reason="enough"))
    loop = make_loop(api)
    assert await loop.run_once() == 1
    assert await run_everything(api) == ["r2/c2"]
    assert await loop.run_once() == 2
    assert (await details(api, "c4", run="r2")).status.cache_status == HIT


async def test_aborted_waiter_leaves_and_stays_aborted(api: ApiUnderTest) -> None:
    await start(api, "r1", "r2")
    await enqueue(api, "c1")
    await enqueue(api, "c2", run="r2")
    await api.runs.abort_run(AbortRunRequest(run_id=run_id("r2"), reason="enough"))
    assert await run_everything(api) == ["r1/c1"]
    assert await make_loop(api).run_once() == 0
    assert (await details(api, "c2", run="r2")).status.phase == ABORTED
    assert (await count(api, "cache_waiters"), await count(api, "cache_reservations")) == (0, 0)


async def test_action_that_calls_itself_with_equal_inputs_does_not_wait(api: ApiUnderTest) -> None:
    await start(api, "r1")
    await enqueue(api, "c1")
    await claim_one(api)
    await enqueue(api, "c2", parent="c1")
    assert await run_everything(api) == ["r1/c2"]


async def test_children_that_would_wait_for_each_others_parents_do_not_both_wait(
    api: ApiUnderTest,
) -> None:
    await start(api, "r1", "r2")
    await enqueue(api, "c1", key="k1")
    await enqueue(api, "c1", run="r2", key="k2")
    for each in await api.claim():
        await api.report(each, Phase.RUNNING)
    await enqueue(api, "d1", parent="c1", key="k2")  # waits for r2/c1
    assert not await api.claim()
    await enqueue(api, "d1", run="r2", parent="c1", key="k1")  # would wait for r1/c1
    assert await run_everything(api) == ["r2/d1"]


async def test_root_gets_the_outputs_of_an_equal_root(api: ApiUnderTest) -> None:
    for name in ("r1", "r2"):
        await api.runs.create_run(cached_run(api, name, spec=spec("env.main")))
    assert await run_everything(api, only="roots") == ["r1/a0"]
    assert await make_loop(api).run_once() == 1
    status = (await details(api, run="r2")).status
    assert (status.phase, status.cache_status) == (SUCCEEDED, HIT)


async def test_overwriting_actions_run_one_after_the_other(api: ApiUnderTest) -> None:
    await start(api, "r1", "r2", overwrite_cache=True)
    await enqueue(api, "c1")
    await enqueue(api, "c1", run="r2")
    assert await run_everything(api) == ["r1/c1"]
    assert await make_loop(api).run_once() == 1
    assert await run_everything(api) == ["r2/c1"]
    assert (await details(api, "c1", run="r2")).status.cache_status == POPULATED


async def test_replayed_request_of_the_running_action_does_not_wait_for_itself(
    api: ApiUnderTest,
) -> None:
    await start(api, "r1")
    await enqueue(api, "c1", "c1")
    assert await count(api, "cache_waiters") == 0
    assert await run_everything(api) == ["r1/c1"]
    assert (await details(api, "c1")).status.cache_status == POPULATED


async def test_action_that_ended_without_its_reservation_is_found(api: ApiUnderTest) -> None:
    await start(api, "r1")
    await enqueue(api, "c1", "c2")
    async with api.database.for_org(ORG) as tx:
        await tx.execute(text("UPDATE actions SET cache_serialized = false"))  # an earlier release
    await run_everything(api)
    loop = make_loop(api)
    assert await loop.mark_once() == 1
    assert await loop.run_once() == 1
    assert (await details(api, "c2")).status.cache_status == HIT


async def test_commit_that_ends_the_first_action_wakes_the_waiters(
    api: ApiUnderTest, database_url: str
) -> None:
    feeds = Feeds(api.database, partial(listen, database_url))
    loop = make_loop(api, feeds)  # its next periodic pass is in an hour
    await start(api, "r1")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(feeds.run()), tasks.create_task(loop.run())]
        await enqueue(api, "c1", "c2")
        await run_everything(api)
        while (await details(api, "c2")).status.phase != SUCCEEDED:
            pass
        for task in background:
            task.cancel()
    assert (await details(api, "c2")).status.cache_status == HIT


async def test_waiters_are_among_the_pending_actions_of_their_run(api: ApiUnderTest) -> None:
    await start(api, "r1")
    names = [f"c{number}" for number in range(5)]
    await enqueue(api, *names)
    explanations = Explanations(api.database, SystemClock())
    found: list[PendingAction] = []
    after = ""
    while True:
        page, after = await explanations.list_pending(READER, RUN, limit=2, after=after)
        found += page
        if not after:
            break

    assert [each.action.name for each in found] == ["a0", *names]
    waits = {each.action.name for each in found if each.why.reason is Reason.EQUAL_ACTION}
    assert waits == set(names) - {"c0"}
    assert "r1/c0 to end" in found[-1].why.message
