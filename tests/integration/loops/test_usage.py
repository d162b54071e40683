"""Usage: an attempt counts once, in the days in which it ran, whatever is repeated or purged."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Grant, Permission, Subject, org_wide
from controlplane.core.errors import InvalidError, NotAllowedError
from controlplane.core.usage import KEPT, ResourceRequests, UsageAmounts, UsageRow
from controlplane.loops.usage import UsageMeter
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.resources import usage
from controlplane.usecases.usage import UsageReader
from shared.model.assignments import Assignment
from shared.model.ids import OrgName
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.loops.test_three_at_once import EVERY, three
from tests.integration.store.conftest import CLUSTER, Store

OPERATOR = Caller(subject=Subject("operator"), org=ORG, name="", grants=org_wide(EVERYTHING))
HOUR = timedelta(hours=1)
TODAY = NOW.date()


def meter(store: Store, clock: FakeClock | None = None) -> UsageMeter:
    return UsageMeter(store.database, clock or FakeClock(NOW), every=EVERY)


async def run_for(
    store: Store,
    assignment: Assignment,
    duration: timedelta,
    *,
    until: datetime,
    skew: timedelta = timedelta(0),
    phase: Phase = Phase.SUCCEEDED,
) -> None:
    """Report that an attempt ran for ``duration``, by an agent's clock that differs by ``skew``."""
    failure = None if phase is Phase.SUCCEEDED else make_failure()
    reports = (
        (make_report(assignment, 1, Phase.RUNNING, at=until - duration + skew), until - duration),
        (make_report(assignment, 2, phase, at=until + skew, failure=failure), until),
    )
    for report, received_at in reports:
        async with store.database.for_org(ORG) as tx:
            await apply_reports(tx, CLUSTER, [report], max(received_at, NOW))


async def run_children(store: Store, *names: str) -> list[Assignment]:
    """Claim children that request half a core, 2 GiB and one accelerator."""
    await store.create(make_new_run())
    requests = ResourceRequests(cpu_millis=500, memory_bytes=2 * 2**30, accelerators=1)
    children = [make_new_action(name) for name in names]
    await store.enqueue(
        *(replace(each, spec=replace(each.spec, requests=requests)) for each in children)
    )
    return [each for each in await store.claim() if each.parent is not None]


async def rows_of(store: Store, org: OrgName = ORG) -> list[UsageRow]:
    async with store.database.for_org(org) as tx:
        return list(
            await usage.list_usage(tx, date(2000, 1, 1), date(2100, 1, 1), "", after="", most=1000)
        )


def of_child(day: date, duration: timedelta, attempts: int = 1) -> UsageRow:
    ms = duration // timedelta(milliseconds=1)
    return UsageRow(
        day=day,
        project="p",
        domain="development",
        task="env.child",
        cluster="c1",
        amounts=UsageAmounts(
            attempts=attempts,
            run_ms=ms,
            cpu_ms=ms // 2,
            memory_mib_ms=2048 * ms,
            accelerator_ms=ms,
        ),
    )


async def test_usage_of_attempts_is_added_once_on_three_replicas(store: Store) -> None:
    one, two = await run_children(store, "b", "c")
    await run_for(store, one, HOUR, until=NOW + HOUR)
    await run_for(store, two, HOUR, until=NOW + HOUR, phase=Phase.FAILED)
    assert sum(await three(meter(store).run_once)) == 2
    assert sum(await three(meter(store).run_once)) == 0
    assert await rows_of(store) == [of_child(TODAY, 2 * HOUR, attempts=2)]


async def test_usage_of_a_pass_that_died_is_added_by_the_next_one(store: Store) -> None:
    [one] = await run_children(store, "b")
    await run_for(store, one, HOUR, until=NOW + HOUR)
    async with store.database.for_fleet("a test") as tx:
        assert await usage.fold_page(tx) == 1
        await tx.connection.rollback()  # the process died
    assert await meter(store).run_once() == 1
    assert await rows_of(store) == [of_child(TODAY, HOUR)]


async def test_usage_of_an_attempt_counts_once_when_its_end_is_reported_again(store: Store) -> None:
    [one] = await run_children(store, "b")
    await run_for(store, one, HOUR, until=NOW + HOUR)
    assert await meter(store).run_once() == 1
    await run_for(store, one, 2 * HOUR, until=NOW + 2 * HOUR)
    assert await meter(store).run_once() == 0


async def test_usage_over_midnight_is_divided_between_the_days(store: Store) -> None:
    [one] = await run_children(store, "b")  # at noon
    await run_for(store, one, 38 * HOUR, until=NOW + 38 * HOUR)
    await meter(store).run_once()
    days = [TODAY + timedelta(days=n) for n in range(3)]
    assert await rows_of(store) == [
        of_child(days[0], 12 * HOUR, attempts=0),
        of_child(days[1], 24 * HOUR, attempts=0),
        of_child(days[2], 2 * HOUR),
    ]


@pytest.mark.parametrize("skew", [HOUR, 9000 * 24 * HOUR])
async def test_usage_is_not_longer_where_the_agents_clock_is_fast(
    store: Store, skew: timedelta
) -> None:
    [one] = await run_children(store, "b")
    await run_for(store, one, HOUR, until=NOW + HOUR, skew=skew)
    await meter(store).run_once()
    [row] = await rows_of(store)
    assert row.amounts == of_child(TODAY, HOUR).amounts


async def test_usage_is_not_longer_than_the_lease(store: Store) -> None:
    [one] = await run_children(store, "b")
    await run_for(store, one, timedelta(days=9000), until=NOW + HOUR)
    await meter(store).run_once()
    assert await rows_of(store) == [of_child(TODAY, HOUR)]


async def test_usage_survives_the_purge_of_its_run(store: Store) -> None:
    [one] = await run_children(store, "b")
    await run_for(store, one, HOUR, until=NOW + HOUR)
    async with store.database.for_org(ORG) as tx:  # before any pass
        for table in ("dispatches", "attempts", "actions", "runs", "specs"):
            await tx.connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    await meter(store).run_once()
    assert await rows_of(store) == [of_child(TODAY, HOUR)]


async def test_usage_is_deleted_after_its_retention(store: Store) -> None:
    [one] = await run_children(store, "b")
    await run_for(store, one, HOUR, until=NOW + HOUR)
    clock = FakeClock(NOW)
    await meter(store, clock).run_once()
    clock.advance(KEPT)
    await meter(store, clock).run_once()
    assert await store.count("usage_days") == 1
    clock.advance(timedelta(days=1))
    await meter(store, clock).run_once()
    assert await store.count("usage_days") == 0


async def test_usage_is_summed_by_dimensions_and_listed_in_pages(store: Store) -> None:
    one, two = await run_children(store, "b", "c")
    await run_for(store, one, HOUR, until=NOW + HOUR)
    await run_for(store, two, 14 * HOUR, until=NOW + 14 * HOUR)
    await meter(store).run_once()
    reader = UsageReader(store.database, FakeClock(NOW + timedelta(days=1)))

    async def summarise(*by: str, limit: int = 0, project: str = "") -> list[UsageRow]:
        found = await reader.summarise(
            OPERATOR, month="2026-06", since="", until="", project=project, group_by=by, limit=limit
        )
        assert found.total.run_ms == (0 if project else 15 * 3_600_000)
        assert found.is_complete == (limit == 0)
        return list(found.rows)

    assert [row.amounts.attempts for row in await summarise()] == [2]
    by_day = await summarise("day")
    assert [(row.day, row.amounts.attempts) for row in by_day] == [
        (TODAY, 1),
        (TODAY + timedelta(days=1), 1),
    ]
    assert [row.day for row in await summarise("day", "task", limit=1)] == [TODAY]
    assert await summarise("task", project="another") == []

    first, after = await reader.list(OPERATOR, month="2026-06", project="", limit=1, after="")
    rest, end = await reader.list(OPERATOR, month="2026-06", project="", limit=1, after=after)
    assert [*first, *rest] == await rows_of(store)
    assert end == ""


@pytest.mark.parametrize(
    ("month", "because"),
    [
        ("2026-07", "has not begun"),
        ("9999-12", "has not begun"),
        ("2025-03", "kept for 400 days"),
        ("2026-13", "not a month"),
        ("0000-01", "not a month"),
        ("2026-6", "not a month"),
        ("٢٠٢٦-٠٦", "not a month"),
    ],
)
async def test_usage_of_a_month_that_has_none_is_refused(
    store: Store, month: str, because: str
) -> None:
    reader = UsageReader(store.database, FakeClock(NOW))
    with pytest.raises(InvalidError, match=f"^month: .*{because}"):
        await reader.list(OPERATOR, month=month, project="", limit=1, after="")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"since": "2026-05-01"}, "until"),
        ({"since": "2026-05-02", "until": "2026-05-01"}, "until"),
        ({"since": "2026-06-02", "until": "2026-06-03"}, "since"),
        ({"since": "2026-02-30", "until": "2026-06-01"}, "since"),
        ({"month": "2026-05", "since": "2026-05-01"}, "month"),
        ({"group_by": ["owner"]}, "group_by"),
        ({"limit": -1}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"project": "no/project"}, "project"),
    ],
)
async def test_usage_of_a_malformed_request_is_refused(
    store: Store, request_: dict[str, object], field: str
) -> None:
    values = {"month": "", "since": "", "until": "", "project": "", "group_by": [], "limit": 0}
    reader = UsageReader(store.database, FakeClock(NOW))
    with pytest.raises(InvalidError, match=f"^{field}"):
        await reader.summarise(OPERATOR, **(values | request_))  # type: ignore[arg-type]


async def test_usage_of_one_project_is_read_with_a_grant_in_it(store: Store) -> None:
    [one] = await run_children(store, "b")
    await run_for(store, one, HOUR, until=NOW + HOUR)
    await meter(store).run_once()
    reader = UsageReader(store.database, FakeClock(NOW))
    grant = Grant(frozenset({Permission.USAGE_READ}), "p")
    member = Caller(subject=Subject("user:1"), org=ORG, name="", grants=(grant,))
    rows, _ = await reader.list(member, month="", project="p", limit=10, after="")
    assert [row.task for row in rows] == ["env.child"]
    with pytest.raises(NotAllowedError):
        await reader.list(member, month="", project="", limit=10, after="")
