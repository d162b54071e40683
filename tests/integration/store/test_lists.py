"""Tests of lists: every field with every test, orders, pages, and invalid listings."""

import base64
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Listing, Order, Test as How
from controlplane.core.runs import RunScope
from controlplane.store.resources import lists
from controlplane.store.resources.lists import list_actions, list_runs
from controlplane.store.resources.runs import create_run
from shared.kit.uuids import new_uuid
from shared.model.ids import RunId
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
from tests.integration.store.conftest import Store

FIELDS = sorted(lists._FIELDS)
TEXTS = {name for name, field in lists._FIELDS.items() if field.is_text}
INSTANTS = {"created_at", "updated_at", "started_at", "ended_at"}


def value_for(field: str) -> str:
    if field in TEXTS:
        return "b"
    if field in INSTANTS:
        return "2026-06-01T12:00:00Z"
    return "true" if field == "archived" else "1"


async def actions_by(store: Store, run: RunId, *filters: Filter, **listing: object) -> list[str]:
    required = Listing(filters=filters, **listing)  # type: ignore[arg-type]
    async with store.database.for_org(ORG) as tx:
        page = await list_actions(tx, run, required)
    return [row.key.name for row in page.rows]


async def runs_by(store: Store, scope: RunScope, *filters: Filter) -> list[str]:
    async with store.database.for_org(ORG) as tx:
        page = await list_runs(tx, scope, Listing(filters=filters))
    return [row.key.run.name for row in page.rows]


async def make_family(store: Store) -> RunId:
    """Create a0 (running), b1 (failed) and b_2 (queued) with a group and a version of its own."""
    run = await store.create(make_new_run())
    second = make_new_action("b_2")
    await store.enqueue(
        make_new_action("b1"),
        replace(second, group="Ünder%_\\", info=replace(second.info, version="v2")),
    )
    claimed = {str(each.key.name): each for each in await store.claim()}
    await store.report(
        make_report(claimed["a0"], 1, Phase.RUNNING),
        make_report(claimed["b1"], 1, Phase.FAILED, failure=make_failure()),
    )
    return run


async def test_filter_with_every_test_of_every_field_is_answered_or_refused(store: Store) -> None:
    run = await make_family(store)
    for field, test in itertools.product([*FIELDS, "labels.team"], How):
        is_text = field in TEXTS or field.startswith("labels.")
        value = "b" if is_text else value_for(field)
        one = Filter(field, test, [] if test in {How.EXISTS, How.NOT_EXISTS} else [value])
        needs_text = test.name.startswith("CONTAINS") or "ENDS_WITH" in test.name
        if needs_text and not is_text:
            with pytest.raises(InvalidError, match="not text"):
                await actions_by(store, run, one)
        else:
            found = await actions_by(store, run, one)
            assert set(found) <= {"a0", "b1", "b_2"}


FOUND: Sequence[tuple[Filter, set[str]]] = [
    (Filter("name", How.EQUAL, ["b1"]), {"b1"}),
    (Filter("name", How.NOT_EQUAL, ["b1"]), {"a0", "b_2"}),
    (Filter("name", How.GREATER, ["b1"]), {"b_2"}),
    (Filter("name", How.LESS_OR_EQUAL, ["b1"]), {"a0", "b1"}),
    (Filter("name", How.IN, ["a0", "b1", "zz"]), {"a0", "b1"}),
    (Filter("name", How.NOT_IN, ["a0", "b1"]), {"b_2"}),
    (Filter("name", How.ENDS_WITH, ["_2"]), {"b_2"}),
    (Filter("name", How.NOT_ENDS_WITH, ["_2"]), {"a0", "b1"}),
    (Filter("name", How.CONTAINS, ["_"]), {"b_2"}),
    (Filter("group", How.CONTAINS, ["%_\\"]), {"b_2"}),
    (Filter("group", How.CONTAINS, ["ünder"]), set()),
    (Filter("group", How.CONTAINS_CASE_INSENSITIVE, ["ünder"]), {"b_2"}),
    (Filter("phase", How.EQUAL, ["6"]), {"b1"}),
    (Filter("phase", How.IN, ["RUNNING", "ACTION_PHASE_FAILED"]), {"a0", "b1"}),
    (Filter("parent_name", How.EQUAL, ["a0"]), {"b1", "b_2"}),
    (Filter("parent_name", How.NOT_EXISTS), {"a0"}),
    (Filter("ended_at", How.EXISTS), {"b1"}),
    (
        Filter("created_at", How.GREATER_OR_EQUAL, ["2026-06-01T12:00:00Z"]),
        {"a0", "b1", "b_2"},
    ),
    (Filter("created_at", How.LESS, ["2026-06-01T14:00:00+02:00"]), set()),
    (Filter("task_version", How.EQUAL, ["v2"]), {"b_2"}),
    (Filter("run_name", How.EQUAL, ["r1"]), {"a0", "b1", "b_2"}),
    (Filter("created_by", How.EQUAL, ["someone"]), {"a0", "b1", "b_2"}),
    (Filter("duration_ms", How.EQUAL, ["0"]), {"b1"}),
    (Filter("labels.team", How.NOT_EXISTS), {"a0", "b1", "b_2"}),
    (Filter("name", How.EQUAL, ["' OR 1=1 --"]), set()),
    (Filter("parent_name", How.NOT_EQUAL, ["x"]), {"a0", "b1", "b_2"}),
    (Filter("parent_name", How.NOT_EQUAL, ["a0"]), {"a0"}),
    (Filter("parent_name", How.NOT_IN, ["a0", "x"]), {"a0"}),
    (Filter("parent_name", How.NOT_ENDS_WITH, ["0"]), {"a0"}),
    (Filter("ended_at", How.NOT_EQUAL, ["2026-06-01T12:00:00Z"]), {"a0", "b_2"}),
    (Filter("labels.team", How.NOT_EQUAL, ["blue"]), {"a0", "b1", "b_2"}),
    (Filter("labels.team", How.NOT_IN, ["blue", "red"]), {"a0", "b1", "b_2"}),
]


async def test_filter_finds_matching_rows_only(store: Store) -> None:
    run = await make_family(store)
    for filter_, found in FOUND:
        assert set(await actions_by(store, run, filter_)) == found, filter_


async def test_filters_are_joined_by_and(store: Store) -> None:
    run = await make_family(store)
    both = (Filter("parent_name", How.EQUAL, ["a0"]), Filter("phase", How.EQUAL, ["QUEUED"]))
    assert await actions_by(store, run, *both) == ["b_2"]


async def test_pages_in_any_order_show_each_row_once(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"b{number}") for number in range(6)))
    everybody = ["a0", *(f"b{number}" for number in range(6))]
    for field, ascending in itertools.product(FIELDS, [True, False]):
        order = Order(field, ascending=ascending)
        assert sorted(await page_through(store, run, order)) == everybody, order


async def page_through(store: Store, run: RunId, order: Order) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        async with store.database.for_org(ORG) as tx:
            page = await list_actions(tx, run, Listing(orders=[order], limit=2, token=token))
        seen += [row.key.name for row in page.rows]
        token = page.token
        if not token:
            return seen


@pytest.mark.parametrize(
    "orders", [(), (Order("name"), Order("created_at", ascending=True)), (Order("ended_at"),)]
)
async def test_pages_of_runs_show_each_run_once_while_runs_are_created(
    store: Store, orders: Sequence[Order]
) -> None:
    await fill(store, range(1000))
    seen: list[str] = []
    token = ""
    for batch in itertools.count(1):
        async with store.database.for_org(ORG) as tx:
            listing = Listing(orders=orders, limit=100, token=token)
            page = await list_runs(tx, RunScope(), listing)
        seen += [row.key.run.name for row in page.rows]
        token = page.token
        if not token:
            break
        await fill(store, range(1000 * batch, 1000 * batch + 37))

    assert len(seen) == len(set(seen))
    assert set(seen) >= {f"r{number}" for number in range(1000)}


async def fill(store: Store, numbers: range) -> None:
    """Create runs, a second apart, in one statement: only listing them is under test."""
    begun = NOW + timedelta(seconds=numbers.start)
    if not numbers.start:
        await store.create(make_new_run("seed"))
    async with store.database.for_org(ORG) as tx:
        await tx.connection.execute(
            text("""
            WITH made AS (
                INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base,
                                  created_at, started_at)
                SELECT org, gen_random_uuid(), project, domain, 'r' || n, 1, run_spec, run_base,
                       CAST(:begun AS timestamptz) + n / 3 * interval '1 second', :begun
                FROM runs, generate_series(CAST(:first AS int), CAST(:last AS int)) n
                WHERE org = :org AND run = 'seed'
                RETURNING *
            )
            INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change,
                                 created_at, updated_at)
            SELECT made.org, made.run_id, made.run_id, 'a0', a.type, a.spec, a.input_uri,
                   a.phase, 1, made.created_at, made.created_at
            FROM made, actions a, runs seed
            WHERE seed.org = :org AND seed.run = 'seed' AND a.org = :org AND a.id = seed.run_id
            """),
            {"org": ORG, "begun": begun, "first": numbers.start, "last": numbers.stop - 1},
        )


async def test_page_token_is_valid_for_its_own_order_only(store: Store) -> None:
    await make_runs(store)
    async with store.database.for_org(ORG) as tx:
        first = await list_runs(tx, RunScope(), Listing(limit=1))
        for order in (Order("name"), Order("duration_ms")):
            with pytest.raises(InvalidError, match="another sort order"):
                await list_runs(tx, RunScope(), Listing(orders=[order], token=first.token))


FORGED = [
    [[], None, None],
    [[], []],
    [[], ["yesterday", "x"]],
    [[], ["2026-06-01T12:00:00Z", 5]],
    [[], ["2026-06-01T12:00:00Z", "a\0b"]],
    [[], 7],
    [["-duration_ms"], -1],
    [["-duration_ms"], "1"],
    {"a": 1},
]


@pytest.mark.parametrize("body", FORGED, ids=str)
async def test_forged_page_token_is_refused(store: Store, body: object) -> None:
    run = await store.create(make_new_run())
    token = base64.urlsafe_b64encode(json.dumps(body).encode()).decode()
    moving = isinstance(body, list) and body[0] == ["-duration_ms"]
    orders = [Order("duration_ms")] if moving else []

    with pytest.raises(InvalidError, match=r"start at the first page|not a time"):
        await list_all(store, run, Listing(orders=orders, token=token))


async def test_list_order_puts_missing_values_last(store: Store) -> None:
    run = await make_family(store)
    by_end = await actions_by(store, run, orders=[Order("ended_at", ascending=True)])
    assert by_end == ["b1", "a0", "b_2"]
    by_phase = await actions_by(store, run, orders=[Order("phase"), Order("name")])
    assert by_phase == ["b1", "a0", "b_2"]


REFUSED: Sequence[Listing] = [
    Listing(filters=[Filter("secret", How.EQUAL, ["x"])]),
    Listing(filters=[Filter("labels.", How.EQUAL, ["x"])]),
    Listing(filters=[Filter("name; DROP TABLE runs", How.EQUAL, ["x"])]),
    Listing(orders=[Order("secret")]),
    Listing(filters=[Filter("phase", How.EQUAL, ["sideways"])]),
    Listing(filters=[Filter("phase", How.EQUAL, ["9" * 30])]),
    Listing(filters=[Filter("phase", How.EQUAL, ["9" * 5000])]),
    Listing(filters=[Filter("created_at", How.LESS, ["yesterday"])]),
    Listing(filters=[Filter("created_at", How.LESS, ["2026-06-01T12:00:00"])]),
    Listing(filters=[Filter("created_at", How.LESS, ["0001-01-01T00:00:00+14:00"])]),
    Listing(filters=[Filter("name", How.EQUAL, [])]),
    Listing(filters=[Filter("name", How.EQUAL, ["a", "b"])]),
    Listing(filters=[Filter("name", How.IN, [])]),
    Listing(filters=[Filter("name", How.IN, ["x"] * 201)]),
    Listing(filters=[Filter("name", How.EQUAL, ["x"])] * 51),
    Listing(filters=[Filter("name", How.EQUAL, ["a\0b"])]),
    Listing(filters=[Filter("labels.a\0b", How.EXISTS)]),
    Listing(filters=[Filter("phase", How.CONTAINS, ["1"])]),
    Listing(token="nonsense"),  # noqa: S106
    Listing(token="!!!"),  # noqa: S106
    Listing(token="djE6LTE"),  # noqa: S106  # v1:-1
    Listing(token="djI6NQ"),  # noqa: S106  # v2:5
    Listing(token="ä"),  # noqa: S106
    Listing(limit=0),
    Listing(limit=-1),
]


async def test_invalid_listing_is_refused(store: Store) -> None:
    run = await store.create(make_new_run())
    for listing in REFUSED:
        with pytest.raises(InvalidError):
            await list_all(store, run, listing)


async def list_all(store: Store, run: RunId, listing: Listing) -> None:
    async with store.database.for_org(ORG) as tx:
        page = await list_actions(tx, run, listing)
    pytest.fail(f"{listing!r:.200} was answered: {page!r:.200}")


async def test_page_is_never_longer_than_the_maximum(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"b{number}") for number in range(230)))
    assert len(await actions_by(store, run, limit=10**9)) == 200


async def make_runs(store: Store) -> None:
    for number in range(3):
        new = make_new_run(f"r{number}")
        timings = replace(new.info, name=f"env.task{number % 2}", version=f"v{number}")
        labels = {"team": "red" if number else "blue", "odd key": "ja"}
        async with store.database.for_org(ORG) as tx:
            await create_run(
                tx,
                RunId(new_uuid(NOW)),
                replace(new, info=timings, labels=labels),
                by=f"user{number}",
                now=NOW + timedelta(minutes=number),
            )


SCOPES: Sequence[tuple[RunScope, Sequence[Filter], list[str]]] = [
    (RunScope(), [], ["r2", "r1", "r0"]),
    (RunScope(project="p", domain="development"), [], ["r2", "r1", "r0"]),
    (RunScope(project="other"), [], []),
    (RunScope(task_name="env.task0"), [], ["r2", "r0"]),
    (RunScope(task_name="env.task0", task_version="v0"), [], ["r0"]),
    (RunScope(trigger_name="nightly"), [], []),
    (RunScope(paused_only=True), [], []),
    (RunScope(), [Filter("labels.team", How.EQUAL, ["red"])], ["r2", "r1"]),
    (RunScope(), [Filter("labels.odd key", How.EXISTS)], ["r2", "r1", "r0"]),
    (RunScope(), [Filter("created_by", How.IN, ["user0", "user2"])], ["r2", "r0"]),
]


async def test_runs_are_listed_newest_first_within_their_scope(store: Store) -> None:
    await make_runs(store)
    await store.enqueue(make_new_action("b1", run="r0"))  # a child is no run
    for scope, filters, found in SCOPES:
        assert await runs_by(store, scope, *filters) == found, (scope, filters)
