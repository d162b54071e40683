"""We test that agents are called from any replica, and that nothing of a call is left behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.errors import UnavailableError
from controlplane.core.forwarded_calls import (
    MAX_REPLY_BYTES,
    MOST_OF_CLUSTER,
    MOST_UNREAD,
    STALE_AFTER,
)
from controlplane.link.live_calls import FIRST_CREDIT
from controlplane.loops.stale_calls import StaleCallReaper
from controlplane.store.resources.clusters import ClusterRef
from controlplane.usecases.agent_sessions import SupersededError
from controlplane.usecases.forwarded_calls import Put
from shared.idl.agent.v1 import call_pb2
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.forwarded_calls.conftest import CLUSTER, FACTS, REQUEST, Replica, until

Pair = tuple[Replica, Replica]
OTHER = OrgName("other")


async def texts(replies: AsyncGenerator[call_pb2.Reply, None]) -> list[str]:
    """Take a whole answer."""
    async with aclosing(replies), asyncio.timeout(60):
        return [line.text async for reply in replies for line in reply.log_chunk.lines]


async def first_of(replies: AsyncGenerator[call_pb2.Reply, None]) -> str:
    async with asyncio.timeout(60):
        reply = await anext(replies)
    return reply.log_chunk.lines[0].text


async def interruption(replies: AsyncGenerator[call_pb2.Reply, None]) -> str:
    """
    Return the message with which an interrupted call ends.

    The replica that loses the agent stores a last reply with the error if it still can;
    else the waiting replica finds that the session is gone.
    """
    try:
        reply = await anext(replies)
    except UnavailableError as error:
        return str(error)
    assert reply.error.code == "unavailable"
    return reply.error.message


async def test_forwarded_call_yields_replies_once_in_order_and_leaves_no_rows(
    replicas: Pair,
) -> None:
    here, there = replicas
    async with there.connected() as agent, asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(texts(here.ask()))
        call = await agent.called()
        await agent.say_all(call, 100)
        assert await answer == [str(number) for number in range(100)]
        assert await here.left() == (0, 0)


async def test_call_to_an_agent_of_this_replica_is_not_forwarded(replicas: Pair) -> None:
    here, _ = replicas
    async with here.connected(deaf=True) as agent, asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(texts(here.ask()))
        call = await agent.called()
        agent.say(call, "at once")
        assert await here.left() == (0, 0)
        agent.end(call)
        assert await answer == ["at once"]


async def test_forwarded_call_passes_on_the_agents_error(replicas: Pair) -> None:
    here, there = replicas
    async with there.connected() as agent, asyncio.TaskGroup() as tasks:
        reply = tasks.create_task(anext(here.ask()))
        call = await agent.called()
        refusal = call_pb2.CallError(code="not_found", message="no such log")
        agent.calls.take(call_pb2.Reply(id=call, error=refusal))
        assert (await reply).error == refusal


async def test_forwarded_call_with_a_slow_reader_delays_no_other(replicas: Pair) -> None:
    here, there = replicas
    async with there.connected() as agent, aclosing(here.ask()) as slow:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(first_of(slow))
            call = await agent.called()
            agent.say(call, "0")
            assert await first == "0"
        sent = 1
        while (await here.left())[1] < MOST_UNREAD or sent < FIRST_CREDIT + agent.credit(call):
            if sent < FIRST_CREDIT + agent.credit(call):
                agent.say(call, str(sent))
                sent += 1
        # What was read, what lies in the store, what is about to, and the agent's first credit.
        assert sent <= 1 + MOST_UNREAD + 1 + FIRST_CREDIT

        async with asyncio.TaskGroup() as tasks:
            quick = tasks.create_task(texts(here.ask()))
            other = await agent.called(2)
            await agent.say_all(other, 50)
            assert len(await quick) == 50

        agent.end(call)
        assert await texts(slow) == [str(number) for number in range(1, sent)]


async def test_forwarded_call_is_cancelled_at_the_agent_when_its_reader_leaves(
    replicas: Pair,
) -> None:
    here, there = replicas
    async with there.connected() as agent:
        asked = here.ask()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(first_of(asked))
            call = await agent.called()
            agent.say(call, "hello")
            assert await first == "hello"
        await asked.aclose()
        await until(
            lambda: [each.call_cancel.id for each in agent.of_kind("call_cancel")] == [call]
        )
        assert await here.left() == (0, 0)


async def test_forwarded_call_of_a_killed_reader_is_deleted_once(
    replicas: Pair,
) -> None:
    here, there = replicas
    async with there.connected() as agent:
        relay = here.relays.new(ORG)
        await here.relays.insert_call(relay, CLUSTER, REQUEST.SerializeToString())
        call = await agent.called()
        agent.say(call, "to nobody")

        clock = FakeClock(SystemClock().now())
        passes = [
            StaleCallReaper(each.database, clock, every=timedelta(seconds=1))
            for each in (here, there, here)
        ]
        assert sum(await asyncio.gather(*(each.run_once() for each in passes))) == 0
        clock.advance(STALE_AFTER + timedelta(seconds=1))
        assert sum(await asyncio.gather(*(each.run_once() for each in passes))) == 1

        await until(lambda: len(agent.of_kind("call_cancel")) == 1)
        assert await here.left() == (0, 0)


async def test_forwarded_call_without_an_agent_is_unavailable(replicas: Pair) -> None:
    here, _ = replicas
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError, match="is not connected"):
            await anext(here.ask())
    assert await here.left() == (0, 0)


async def test_forwarded_call_that_no_agent_answers_is_unavailable(replicas: Pair) -> None:
    here, there = replicas
    async with there.connected(deaf=True), asyncio.timeout(60):
        with pytest.raises(UnavailableError, match="does not answer"):
            await anext(here.ask())
    assert await here.left() == (0, 0)


async def test_forwarded_call_ends_with_the_agents_session(replicas: Pair) -> None:
    here, there = replicas
    asked = here.ask()
    async with asyncio.TaskGroup() as tasks:
        async with there.connected() as agent:
            first = tasks.create_task(first_of(asked))
            call = await agent.called()
            agent.say(call, "while it lasted")
            assert await first == "while it lasted"
        await there.sessions.close(agent.session)
    async with asyncio.timeout(60), aclosing(asked):
        assert await interruption(asked) in {
            "the cluster's agent disconnected; try again",
            "the replica with the stream of the cluster's agent does not answer; try again",
        }


async def test_forwarded_call_ends_when_a_newer_session_opens_elsewhere(replicas: Pair) -> None:
    here, there = replicas
    asked = here.ask()
    async with there.connected() as older:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(first_of(asked))
            older.say(await older.called(), "from the older")
            assert await first == "from the older"
        older.stop_answering()  # it finds out that it is superseded; a test of sessions
        async with here.connected() as newer:
            with pytest.raises(UnavailableError, match="does not answer"):
                await first_of(asked)
            async with asyncio.TaskGroup() as tasks:
                answer = tasks.create_task(texts(here.ask()))
                await newer.say_all(await newer.called(), 1)
                assert await answer == ["0"]


async def test_superseded_session_serves_no_forwarded_call(replicas: Pair) -> None:
    here, there = replicas
    older = await there.sessions.open(ClusterRef(ORG, CLUSTER), FACTS)
    newer = await here.sessions.open(ClusterRef(ORG, CLUSTER), FACTS)
    relay = here.relays.new(ORG)
    await here.relays.insert_call(relay, CLUSTER, b"")
    with pytest.raises(SupersededError):
        await there.relays.claim(older)
    assert list(await here.relays.claim(newer)) == [relay.id]
    assert await there.relays.put(older, relay.id, 1, b"") is Put.NO_CALLER


async def test_forwarded_call_survives_a_lost_notification(
    replicas: Pair, owner_database_url: str
) -> None:
    here, there = replicas
    owner = await asyncpg.connect(owner_database_url)
    async with there.connected() as agent, asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(texts(here.ask()))
        call = await agent.called()
        for number in range(3):
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'volary-listen%' AND datname = current_database()"
            )
            agent.say(call, str(number))
        agent.end(call)
        assert await answer == ["0", "1", "2"]
    await owner.close()


async def test_forwarded_reply_that_is_too_large_ends_its_call_only(replicas: Pair) -> None:
    here, there = replicas
    async with there.connected() as agent, asyncio.TaskGroup() as tasks:
        asked = here.ask()
        reply = tasks.create_task(anext(asked))
        agent.say(await agent.called(), "x" * (MAX_REPLY_BYTES + 1))
        assert "too large" in (await reply).error.message
        await asked.aclose()
        await until(lambda: len(agent.of_kind("call_cancel")) == 1)
        again = tasks.create_task(texts(here.ask()))
        agent.end(await agent.called(2))
        assert await again == []


async def test_forwarded_calls_waiting_for_one_agent_are_bounded(replicas: Pair) -> None:
    here, there = replicas
    async with there.connected(deaf=True):
        for _ in range(MOST_OF_CLUSTER):
            await here.relays.insert_call(here.relays.new(ORG), CLUSTER, b"")
        with pytest.raises(UnavailableError, match="too many calls in progress"):
            await here.relays.insert_call(here.relays.new(ORG), CLUSTER, b"")


async def test_forwarded_call_reaches_the_agent_of_its_own_org_only(replicas: Pair) -> None:
    here, there = replicas
    async with there.connected(OTHER) as theirs:
        with pytest.raises(UnavailableError):
            await anext(here.ask())
        async with there.connected(deaf=True), asyncio.timeout(60):
            with pytest.raises(UnavailableError):
                await anext(here.ask())
        assert theirs.sent == []


async def test_call_that_a_replica_of_the_release_before_stored_is_claimed(replicas: Pair) -> None:
    here, _ = replicas
    session = await here.sessions.open(ClusterRef(ORG, CLUSTER), FACTS)
    relay = here.relays.new(ORG)
    await here.relays.insert_call(relay, CLUSTER, b"the request")
    async with here.database.for_org(ORG) as tx:
        stored = await tx.rows(text("SELECT wish, request FROM relays"))
        assert [(row.wish, row.request) for row in stored] == [(b"the request", b"the request")]
        await tx.execute(text("UPDATE relays SET request = NULL"))
    assert await here.relays.claim(session) == {relay.id: b"the request"}


async def test_only_forwarded_calls_are_in_unlogged_tables(owner_database_url: str) -> None:
    owner = await asyncpg.connect(owner_database_url)
    rows = await owner.fetch(
        "SELECT relname FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'"
    )
    await owner.close()
    assert {row["relname"] for row in rows} == {"relays", "relay_replies"}
