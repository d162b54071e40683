"""The loop that delivers notifications, with real receivers."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.notifications import MOST_TRIES, DeliveryState
from controlplane.core.relations import Counterpart
from controlplane.loops import deliveries
from controlplane.loops.deliveries import KEEP
from controlplane.outbound.settings import NotificationSettings
from controlplane.store.notify.deliveries import CLAIMED_FOR
from controlplane.usecases.notifications import Notifications
from shared.model.ids import RunName
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_action_key
from tests.fakes.clock import FakeClock
from tests.integration.loops.receivers import (
    OPEN,
    fail_run,
    list_deliveries,
    make_loop,
    make_notifying_run,
    make_rule,
)
from tests.integration.store.conftest import Store
from tests.servers.webhooks import Receiver, receiving

OPERATOR = Caller(subject=Subject("operator:test"), org=ORG, name="", grants=org_wide(EVERYTHING))
LATER = timedelta(hours=2)
"""Longer than any delay between tries."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def test_failed_run_is_reported_once_by_valid_json(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    await fail_run(store, make_notifying_run(make_rule(receiver.url)), 'said "no"\nand left')
    loop = make_loop(store, clock)

    await loop.run_once()
    await loop.run_once()

    (body,) = receiver.bodies
    assert json.loads(body) == {"phase": "FAILED", "error": 'said "no"\nand left'}
    assert await list_deliveries(store) == [(DeliveryState.DELIVERED, 200, "")]


async def test_phases_that_no_rule_names_are_not_recorded(store: Store, receiver: Receiver) -> None:
    await fail_run(store, make_notifying_run(make_rule(receiver.url, Phase.SUCCEEDED)))
    await fail_run(store, make_notifying_run(name="r2"))

    assert await store.count("phase_events") == 0


async def test_run_whose_root_is_recovered_is_reported_as_succeeded(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    """Its root has ended when it is inserted; so has that of a run with a cached result."""
    new = make_notifying_run(make_rule(receiver.url, Phase.SUCCEEDED))
    taken = Counterpart(output_uri="file:///b/o", value=None, executed_in=RunName("r0"))
    await store.create(replace(new, recovered=taken))

    await make_loop(store, clock).run_once()

    assert [json.loads(body) for body in receiver.bodies] == [{"phase": "SUCCEEDED", "error": ""}]


async def test_receiver_that_fails_gets_the_same_key_later(store: Store, clock: FakeClock) -> None:
    async with receiving(500, 503) as receiver:
        await fail_run(store, make_notifying_run(make_rule(receiver.url)))
        loop = make_loop(store, clock)
        for _ in range(3):
            await loop.run_once()
            await loop.run_once()  # nothing is due
            clock.advance(LATER)

    assert len(receiver.keys) == 3
    assert len(set(receiver.keys)) == 1
    assert receiver.keys[0]
    assert await list_deliveries(store) == [(DeliveryState.DELIVERED, 200, "")]


async def test_receiver_that_fails_rests_although_more_is_due(
    store: Store, clock: FakeClock
) -> None:
    async with receiving(500) as receiver:
        for name in ("r1", "r2", "r3"):
            await fail_run(store, make_notifying_run(make_rule(receiver.url), name=name))
        loop = make_loop(store, clock)
        await loop.run_once()
        await loop.run_once()
        assert len(receiver.keys) == 1
        clock.advance(LATER)
        await loop.run_once()

    assert len(receiver.keys) == 4
    assert {state for state, _, _ in await list_deliveries(store)} == {DeliveryState.DELIVERED}


async def test_three_replicas_report_a_phase_once(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    for name in ("r1", "r2", "r3", "r4"):
        await fail_run(store, make_notifying_run(make_rule(receiver.url), name=name))

    async with asyncio.TaskGroup() as replicas:
        for _ in range(3):
            replicas.create_task(make_loop(store, clock).run_once())
    await make_loop(store, clock).run_once()  # of one that had locked events meanwhile

    assert len(receiver.keys) == 4
    assert len(set(receiver.keys)) == 4


async def test_receivers_beyond_the_bound_of_a_pass_are_served_by_the_next(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "_PAGE", 2)
    monkeypatch.setattr(deliveries, "_MOST_LISTED", 4)
    async with AsyncExitStack() as servers:
        receivers = [await servers.enter_async_context(receiving()) for _ in range(5)]
        rules = [make_rule(receiver.url) for receiver in receivers]
        await fail_run(store, make_notifying_run(*rules))
        loop = make_loop(store, clock)
        await loop.run_once()
        assert sum(len(receiver.keys) for receiver in receivers) == 4
        await loop.run_once()

    assert [len(receiver.keys) for receiver in receivers] == [1] * 5


async def test_receiver_that_hangs_delays_no_other(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    async with receiving() as hanging:
        hanging.may_answer.clear()
        for name in ("r1", "r2"):
            await fail_run(
                store,
                make_notifying_run(make_rule(hanging.url), make_rule(receiver.url), name=name),
            )
        async with asyncio.timeout(60):
            async with asyncio.TaskGroup() as replica:
                replica.create_task(make_loop(store, clock).run_once())
                await hanging.asked.wait()
                await receiver.asked.wait()
                hanging.may_answer.set()

    assert len(receiver.keys) == 2


async def test_replica_that_stops_before_it_recorded_the_answer_leaves_it_to_another(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    await fail_run(store, make_notifying_run(make_rule(receiver.url)))
    receiver.may_answer.clear()
    async with asyncio.timeout(60), asyncio.TaskGroup() as replica:
        stopped = replica.create_task(make_loop(store, clock).run_once())
        await receiver.asked.wait()
        stopped.cancel()
    receiver.may_answer.set()

    await make_loop(store, clock).run_once()
    assert len(receiver.keys) == 1  # still claimed
    clock.advance(CLAIMED_FOR)
    await make_loop(store, clock).run_once()

    assert len(receiver.keys) == 2
    assert len(set(receiver.keys)) == 1
    assert await list_deliveries(store) == [(DeliveryState.DELIVERED, 200, "")]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_not_followed(
    store: Store, clock: FakeClock, receiver: Receiver, status: int
) -> None:
    async with receiving(status, headers={"Location": receiver.url}) as redirecting:
        await fail_run(store, make_notifying_run(make_rule(redirecting.url)))
        await make_loop(store, clock).run_once()

    assert receiver.bodies == []
    ((state, answered, error),) = await list_deliveries(store)
    assert (state, answered) == (DeliveryState.FAILED, status)
    assert "redirects are not followed" in error


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0"])
async def test_name_that_leads_inwards_is_refused_for_good(
    store: Store, clock: FakeClock, receiver: Receiver, host: str
) -> None:
    url = f"http://{host}:{urlsplit(receiver.url).port}/hook"
    await fail_run(store, make_notifying_run(make_rule(url)))

    await make_loop(store, clock, NotificationSettings(allow_http=True)).run_once()

    assert receiver.bodies == []
    ((state, _, error),) = await list_deliveries(store)
    assert state == DeliveryState.FAILED
    assert error == "the host leads to no public address"


async def test_request_goes_to_the_address_that_was_checked(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer of the name's server leads elsewhere (DNS rebinding)."""
    addresses = ["127.0.0.1", "127.0.0.2"]

    async def resolve(_host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses.pop(0), port))]

    async with receiving() as receiver:
        url = f"http://rebinding.example:{urlsplit(receiver.url).port}/hook"
        await fail_run(store, make_notifying_run(make_rule(url)))
        loop = make_loop(store, clock, OPEN)
        await loop.forget_once()  # opens the database's connections
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        await loop.run_once()

    assert receiver.servers == ["127.0.0.1"]
    assert addresses == ["127.0.0.2"]


async def test_delivery_that_is_refused_is_not_tried_again(store: Store, clock: FakeClock) -> None:
    async with receiving(404) as receiver:
        await fail_run(store, make_notifying_run(make_rule(receiver.url)))
        for _ in range(2):
            await make_loop(store, clock).run_once()
            clock.advance(LATER)

    assert len(receiver.keys) == 1
    assert await list_deliveries(store) == [
        (DeliveryState.FAILED, 404, "the receiver answered 404")
    ]


async def test_delivery_that_failed_is_sent_again_under_its_key(
    store: Store, clock: FakeClock
) -> None:
    async with receiving(404) as receiver:
        await fail_run(store, make_notifying_run(make_rule(receiver.url)))
        loop, notifications = make_loop(store, clock), Notifications(store.database, clock)
        await loop.run_once()
        (failed,), _ = await notifications.list_deliveries(OPERATOR, {DeliveryState.FAILED})
        assert await notifications.resend_deliveries(OPERATOR, [failed.id]) == [failed.id]
        await loop.run_once()

    assert receiver.keys == [str(failed.id)] * 2
    (delivered,), _ = await notifications.list_deliveries(OPERATOR)
    assert delivered.action == make_action_key("a0")
    assert (delivered.state, delivered.tries) == (DeliveryState.DELIVERED, 1)


async def test_delivery_is_given_up_after_many_tries(store: Store, clock: FakeClock) -> None:
    async with receiving(*[500] * (MOST_TRIES + 1)) as receiver:
        await fail_run(store, make_notifying_run(make_rule(receiver.url)))
        loop = make_loop(store, clock)
        for _ in range(MOST_TRIES + 1):
            await loop.run_once()
            clock.advance(LATER)

    assert len(receiver.keys) == MOST_TRIES
    assert await list_deliveries(store) == [
        (DeliveryState.FAILED, 500, "the receiver answered 500")
    ]


async def test_phase_of_a_deleted_run_is_forgotten(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    await fail_run(store, make_notifying_run(make_rule(receiver.url)))
    await delete_runs(store)

    await make_loop(store, clock).run_once()

    assert await store.count("phase_events") == 0
    assert await list_deliveries(store) == []


async def test_delivery_of_a_deleted_run_is_given_up(store: Store, clock: FakeClock) -> None:
    async with receiving(500) as receiver:
        await fail_run(store, make_notifying_run(make_rule(receiver.url)))
        await make_loop(store, clock).run_once()
        await delete_runs(store)
        clock.advance(LATER)
        await make_loop(store, clock).run_once()

    assert len(receiver.keys) == 1
    assert await list_deliveries(store) == [(DeliveryState.FAILED, 500, "the run was deleted")]


async def test_deliveries_that_ended_long_ago_are_deleted(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    await fail_run(store, make_notifying_run(make_rule(receiver.url)))
    loop = make_loop(store, clock)
    await loop.run_once()

    clock.advance(KEEP)
    assert await loop.forget_once() == 0
    clock.advance(timedelta(seconds=1))
    assert await loop.forget_once() == 1
    assert await store.count("deliveries") == 0


async def delete_runs(store: Store) -> None:
    async with store.database.for_org(ORG) as tx:
        for table in ("dispatches", "attempts", "actions", "runs"):
            await tx.connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
