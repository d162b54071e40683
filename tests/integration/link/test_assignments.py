"""Assignments and their specs reach an agent within its credit."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest

from controlplane.core.actions import Spec, SpecKind
from controlplane.core.link_timings import LinkTimings
from shared.idl.agent.v1 import link_pb2
from shared.model.ids import Digest
from tests.factories import ORG, make_new_action, make_new_run
from tests.integration.link.conftest import (
    TIMEOUT_SECONDS,
    LinkUnderTest,
    calling,
    serving,
)
from tests.integration.store.conftest import Store


def make_large_spec(number: int, size: int) -> Spec:
    body = bytes([number]) * size
    return Spec(digest=Digest(hashlib.sha256(body).digest()), kind=SpecKind.TASK, body=body)


async def leased(store: Store) -> int:
    async with store.database.for_org(ORG) as tx:
        connection = (await tx.connection.get_raw_connection()).driver_connection
        assert connection is not None
        count: int = await connection.fetchval(
            "SELECT count(*) FROM dispatches WHERE lease_id IS NOT NULL"
        )
    return count


async def test_assignments_never_exceed_the_credit(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(*(make_new_action(f"b{number}") for number in range(9)))
    async with calling(link) as agent:
        await agent.open()
        taken = await agent.take(2)
        # Whatever it was going to send besides would have come before this answer.
        await agent.accept(*taken)
        assert await leased(link.store) == 2
        await agent.say(credit=link_pb2.Credit(total=5))
        taken += await agent.hear_assignments(3)
        await agent.accept(*taken)
        assert await leased(link.store) == 5
    assert len({each.attempt for each in taken}) == 5


async def test_assignments_wait_for_credit(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        await agent.be_heard()
        assert await leased(link.store) == 0


async def test_too_much_credit_at_once_ends_the_session(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=2**64 - 1))
        assert (await agent.hear_end())[0] == "protocol"


async def test_enqueued_work_reaches_a_waiting_agent_at_once(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=10))
        await link.store.create(make_new_run())
        async with asyncio.timeout(12):  # it looks around every fifteen seconds, woken or not
            [assignment] = await agent.hear_assignments(1)
    assert assignment.key.name == "a0"


async def test_spec_is_sent_once_a_session_before_its_assignment(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(make_new_action("b"), make_new_action("c", body=b"another"))
    for _ in range(2):
        async with calling(link) as agent:
            await agent.open()
            sent: dict[bytes, bytes] = {}
            seen = 0
            for total in range(1, 4):
                await agent.say(credit=link_pb2.Credit(total=total))
                batch = (await agent.hear("assignments")).assignments
                changes = {spec.digest: spec.body for spec in batch.specs}
                assert not changes.keys() & sent.keys()
                sent |= changes
                for each in batch.assignments:
                    assert {each.task_spec, each.run_spec} <= sent.keys()
                    seen += 1
            assert seen == 3
            assert set(sent.values()) == {b"a task", b"a child", b"another", b"a run"}


async def test_large_specs_are_sent_in_several_frames(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(
        *(
            replace(make_new_action(f"b{number}"), spec=make_large_spec(number, 3 * 1024 * 1024))
            for number in range(10)
        )
    )
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=11))
        sent: set[bytes] = set()
        taken, frames = 0, 0
        while taken < 11:
            frame = await agent.hear("assignments")
            assert frame.ByteSize() < 13 * 1024 * 1024
            frames += 1
            sent |= {spec.digest for spec in frame.assignments.specs}
            for each in frame.assignments.assignments:
                assert {each.task_spec, each.run_spec} <= sent
                taken += 1
    assert frames >= 3


async def test_session_of_an_agent_that_does_not_read_ends(
    store: Store, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    timings = LinkTimings(heartbeat=timedelta(milliseconds=100), silent_after=timedelta(seconds=2))
    await store.create(make_new_run())
    await store.enqueue(
        *(
            replace(make_new_action(f"b{number}"), spec=make_large_spec(number, 4 * 1024 * 1024))
            for number in range(20)
        )
    )
    async with serving(store, database_url, timings) as link, calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=21))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            with suppress(grpc.RpcError, asyncio.InvalidStateError):  # it is let go in mid-word
                while link.servicer._serving:  # it talks, and does not listen
                    await agent.say(heartbeat=link_pb2.Heartbeat(number=1))
                    await asyncio.sleep(0.02)
            await link.servicer.wait_until_drained()
    assert "agent session failed" not in caplog.text


async def test_rejection_follows_the_frame_that_is_being_written(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(
        *(
            replace(make_new_action(f"b{number}"), spec=make_large_spec(number, 4 * 1024 * 1024))
            for number in range(20)
        )
    )
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=21))
        await agent.hear("assignments")  # the next one does not fit gRPC's buffers
        await agent.say(credit=link_pb2.Credit(total=2**64 - 1))
        assert (await agent.hear_end())[0] == "protocol"
