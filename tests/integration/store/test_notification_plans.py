"""
Tests that statements on notifications examine rows in proportion to their set or page: 250 and
1,000, with 20,000 other deliveries in each state, most of them to a receiver that is down.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from controlplane.core.notifications import Channel, DeliveryState
from controlplane.store.database import Database, open_database
from controlplane.store.notify import deliveries, delivery_lists
from controlplane.store.notify.deliveries import NewDelivery
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName
from tests.factories import NOW, ORG, make_new_run
from tests.integration.store.conftest import Store
from tests.integration.store.examined import Examined, examining, explain_everything, statements_of
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
SIZES = (250, 1_000)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
A_ROW = 60
"""Rows that a statement may examine for each row of its set, as in test_examined.py."""
OF_SETS = {
    "deliveries._DELETE_EVENTS",
    "deliveries._INSERT",
    "delivery_lists._FIND",
    "delivery_lists._LIST",
    "delivery_lists._LIST_OF_SCOPES",
    "delivery_lists._RESEND",
}
OF_PAGES = {"deliveries._EVENTS", "deliveries._FORGET"}
OF_ONE = {"deliveries._CLAIM", "deliveries._RECORD"}
OF_RECEIVERS = {"deliveries._ORGS", "deliveries._TARGETS"}
OF_NOTIFICATIONS = OF_SETS | OF_PAGES | OF_ONE | OF_RECEIVERS

FILL = """
INSERT INTO deliveries (org, delivery_id, project, domain, run_id, action_id, phase, rule, channel,
                        target, state, due_at, ended_at, created_at)
    SELECT org, md5(org || state || n)::uuid, 'p' || n % 2, 'd', md5('run' || n)::uuid, md5(org || state || n)::uuid,
           6, 0, 1, 'https://down.example', state, now() - interval '1 second' * n,
           CASE WHEN state <> 0 THEN now() END, now()
    FROM unnest(ARRAY['acme', 'other']) org, generate_series(0, 2) state,
         generate_series(1, :others) n;
INSERT INTO deliveries (org, delivery_id, run_id, action_id, phase, rule, channel, target, due_at,
                        created_at)
    SELECT 'acme', md5('few' || n)::uuid, r.run_id, r.run_id, 6, n, 1, 'https://few.example',
           now() - interval '1 hour', now()
    FROM runs r, generate_series(1, 3) n WHERE r.run = 'others';
INSERT INTO phase_events (org, action_id, phase, run_id)
    SELECT org, md5('event' || n)::uuid, 6, r.run_id
    FROM unnest(ARRAY['acme', 'other']) o (name), generate_series(1, :others) n, runs r
    WHERE r.run = 'others' AND o.name = org;
"""


@pytest.fixture(params=["analysed", "never"])
async def measured(
    request: pytest.FixtureRequest,
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> AsyncIterator[tuple[Database, Examined, int]]:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("actions", "deliveries", "phase_events", "runs"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await store.create(make_new_run("others"))
    await owner.execute(FILL.replace(":others", str(OTHERS)))
    if request.param == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1, fleet_pool_size=1)
    seen = Examined(_names=statements_of(deliveries, delivery_lists))
    with examining(database, seen):
        # The table of events is nearly empty: without statistics, a page of many sorts them all.
        yield database, seen, 0 if request.param == "analysed" else 2 * OTHERS
    await database.close()


@pytest.mark.parametrize("size", SIZES)
async def test_statement_on_notifications_examines_rows_in_proportion_to_its_set(
    measured: tuple[Database, Examined, int], size: int
) -> None:
    database, seen, table = measured
    await report(database, size)
    await send_again(database, size)

    assert set(seen.rows) >= OF_NOTIFICATIONS, sorted(OF_NOTIFICATIONS - set(seen.rows))
    most = (
        dict.fromkeys(OF_SETS, A_ROW * size)
        | {"deliveries._EVENTS": A_ROW * size + table, "deliveries._FORGET": A_ROW * size}
        | dict.fromkeys(OF_ONE, A_ROW)
        | dict.fromkeys(OF_RECEIVERS, 10 * A_ROW)
    )
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_NOTIFICATIONS
        if seen.rows[name] > most[name]
    ]
    assert not too_many, "\n\n".join(too_many)


async def report(database: Database, size: int) -> None:
    """Make deliveries of events, list receivers, and claim and record one delivery."""
    async with database.for_fleet("a test") as fleet:
        assert await deliveries.list_orgs_with_events(fleet, after=OrgName(""), most=500) == [ORG]
        targets = await deliveries.list_targets(fleet, after=(OrgName(""), ""), most=500, now=NOW)
        assert [target for _, target, _ in targets][:2] == [
            "https://down.example",
            "https://few.example",
        ]
    async with database.for_org(ORG) as tx:
        events = await deliveries.lock_events(tx, most=size)
        assert len(events) == size
        made = [
            NewDelivery(
                id=new_uuid(NOW), event=event, rule=0, channel=Channel.WEBHOOK, target="https://up"
            )
            for event in events
        ]
        await deliveries.replace_events(tx, events, made, NOW)
        claimed = await deliveries.claim_delivery(tx, "https://few.example", LATER)
        assert claimed is not None
        assert await deliveries.record_delivery(
            tx,
            claimed,
            DeliveryState.DELIVERED,
            due_at=NOW,
            ended_at=NOW,
            status=200,
            error="",
        )


async def send_again(database: Database, size: int) -> None:
    """List deliveries in each way, send ended ones again, and delete some."""
    async with database.for_org(ORG) as tx:
        before: UUID | None = None
        for states in ({DeliveryState.FAILED}, frozenset(DeliveryState)):
            found = await delivery_lists.list_deliveries(tx, states, before=before, most=size)
            assert len(found) == size
            before = found[-1].id
        for scopes in (frozenset({("p0", "")}), frozenset({("p0", "d"), ("p1", ""), ("p1", "d")})):
            found = await delivery_lists.list_deliveries(
                tx, frozenset(DeliveryState), before=None, most=size, visible=scopes
            )
            assert len({each.id for each in found}) == len(found) == size
        failed = await delivery_lists.list_deliveries(
            tx, {DeliveryState.FAILED}, before=None, most=size
        )
        ids = [each.id for each in failed]
        assert len(await delivery_lists.find_deliveries(tx, ids)) == size
        assert len(await delivery_lists.resend_deliveries(tx, ids, NOW)) == size
    async with database.for_fleet("a test") as fleet:
        assert await deliveries.forget_deliveries(fleet, before=LATER, most=size) == size
