"""We test how a session begins, and how it does not."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import grpc
import grpc.aio
import pytest

from controlplane.core.link_timings import LinkTimings
from controlplane.link.server import LinkServer
from shared.idl.agent.v1 import assignment_pb2, link_pb2
from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.phases import Phase
from shared.wire.fields import parse_timestamp
from tests.factories import NOW, make_new_action, make_new_run, make_report
from tests.integration.link.conftest import (
    TIMEOUT_SECONDS,
    Agent,
    Lease,
    LinkUnderTest,
    calling,
    lease_of,
    make_hello,
    make_inventory,
    serving,
)
from tests.integration.store.conftest import Store
from tests.running import until

QUICK = LinkTimings(heartbeat=timedelta(milliseconds=50))
IMPATIENT = replace(QUICK, silent_after=timedelta(seconds=2))
UNKNOWN_FRAME = bytes([0x9A, 0x06, 0x00])  # field 99, empty: of a release to come


def make_lease(number: int) -> Lease:
    return AttemptId(ActionId(UUID(int=number)), 1), LeaseId(UUID(int=number))


async def test_session_begins_with_welcome_and_inventory_decisions(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        welcome = await agent.greet()
        assert (welcome.epoch, welcome.protocol, welcome.cluster) == (1, 1, "c1")
        assert welcome.heartbeat_ms == 5_000
        assert 0 < welcome.self_fence_ms < welcome.reassign_after_ms
        assert abs(parse_timestamp(welcome.server_time_us) - NOW) < timedelta(minutes=1)
        await agent.say(inventory=make_inventory([]))
        statuses = (await agent.hear("verdicts")).verdicts
        assert (list(statuses.verdicts), statuses.last) == ([], True)


async def test_every_session_has_an_epoch_of_its_own(link: LinkUnderTest) -> None:
    epochs = []
    for _ in range(3):
        async with calling(link) as agent:
            epochs.append((await agent.greet()).epoch)
    assert epochs == [1, 2, 3]


@pytest.mark.parametrize(
    "token", [None, "", "another", "x" * 5000], ids=["none", "empty", "another", "long"]
)
async def test_agent_without_a_valid_token_is_rejected_without_retry(
    link: LinkUnderTest, token: str | None
) -> None:
    async with calling(link, token) as agent:
        code, message, retry = await agent.hear_end()
    assert (code, retry) == ("unauthenticated", False)
    assert "token" in message


@pytest.mark.parametrize(
    ("oldest", "newest", "remedy"),
    [(7, 9, "upgrade the control plane"), (0, 0, "upgrade the agent")],
)
async def test_agent_of_another_protocol_is_rejected_with_the_side_to_upgrade(
    link: LinkUnderTest, oldest: int, newest: int, remedy: str
) -> None:
    async with calling(link) as agent:
        await agent.say(hello=make_hello(protocol_min=oldest, protocol_max=newest))
        code, message, retry = await agent.hear_end()
    assert (code, retry) == ("protocol_version", False)
    assert f"{oldest} to {newest}" in message
    assert remedy in message


async def test_agent_that_also_supports_this_protocol_is_accepted(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        assert (await agent.greet(protocol_min=1, protocol_max=9)).protocol == 1


async def test_an_agents_names_may_be_odd_and_long(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.greet(agent_id="a\0b", instance_id="ü" * 10_000, software="\n" * 1000)


async def test_the_first_frame_must_be_a_hello(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.say(heartbeat=link_pb2.Heartbeat(number=1))
        assert (await agent.hear_end())[0] == "protocol"


@pytest.mark.parametrize(
    "frame",
    [
        {"hello": make_hello()},
        {"credit": link_pb2.Credit(total=1)},
        {"accepted": assignment_pb2.Accepted()},
    ],
    ids=lambda frame: next(iter(frame)),
)
async def test_frame_out_of_order_ends_the_session(
    link: LinkUnderTest, frame: dict[str, object]
) -> None:
    async with calling(link) as agent:
        await agent.greet()
        await agent.say(**frame)
        code, message, _ = await agent.hear_end()
    assert code == "protocol"
    assert next(iter(frame)) in message


async def test_a_second_inventory_ends_the_session(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.say(inventory=make_inventory([]))
        assert (await agent.hear_end())[0] == "protocol"


async def test_malformed_lease_ends_the_session_naming_its_field(
    link: LinkUnderTest,
) -> None:
    async with calling(link) as agent:
        await agent.greet()
        await agent.say(inventory=link_pb2.Inventory(leases=[assignment_pb2.Lease()], last=True))
        code, message, _ = await agent.hear_end()
    assert code == "protocol"
    assert "attempt.number" in message


async def test_an_inventory_comes_in_chunks_and_heartbeats_may_come_between(
    link: LinkUnderTest,
) -> None:
    async with calling(link) as agent:
        await agent.greet()
        await agent.say(inventory=make_inventory([make_lease(1)], last=False))
        await agent.say(heartbeat=link_pb2.Heartbeat(number=1))
        await agent.say_bytes(UNKNOWN_FRAME)
        await agent.say(inventory=make_inventory([make_lease(2)], last=False))
        await agent.say(inventory=make_inventory([make_lease(3)]))
        statuses = (await agent.hear("verdicts")).verdicts.verdicts
    assert [each.kind for each in statuses] == [link_pb2.VerdictOnLease.KIND_FORGET] * 3


async def test_a_long_inventory_is_answered_in_pages(
    link: LinkUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.core.agent_sessions.DECISIONS_PER_FRAME", 10)
    async with calling(link) as agent:
        await agent.greet()
        await agent.say(inventory=make_inventory([make_lease(n) for n in range(1, 26)]))
        pages = [(await agent.hear("verdicts")).verdicts for _ in range(3)]
    assert [len(page.verdicts) for page in pages] == [10, 10, 5]
    assert [page.last for page in pages] == [False, False, True]


async def test_an_inventory_without_bound_is_refused(
    link: LinkUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.core.agent_sessions.MAX_INVENTORY", 10)
    async with calling(link) as agent:
        await agent.greet()
        await agent.say(inventory=make_inventory([make_lease(n) for n in range(1, 12)]))
        code, message, _ = await agent.hear_end()
    assert code == "too_much"
    assert "10" in message


async def test_silent_agent_times_out_in_the_handshake(
    link: LinkUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.link.session.HELLO_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("controlplane.link.session.INVENTORY_TIMEOUT_SECONDS", 0.1)
    async with calling(link) as agent:
        assert (await agent.hear_end())[:2] == ("silent", "no hello within 0.1 s")
    async with calling(link) as agent:
        await agent.greet()
        assert (await agent.hear_end())[:2] == ("silent", "the inventory was not complete in time")


async def test_rejection_reaches_an_agent_that_still_sends(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.say(hello=make_hello())
        for _ in range(10):  # meanwhile the status of the call would have arrived
            async with calling(link, "another") as other:
                await other.hear_end()
        await agent.say(heartbeat=link_pb2.Heartbeat(number=1))
        assert (await agent.hear_end())[0] == "protocol"


async def test_frame_over_the_size_limit_ends_its_session_only(
    link: LinkUnderTest,
) -> None:
    async with calling(link) as bystander, calling(link) as agent:
        await bystander.greet()
        await agent.say(hello=make_hello(software="x" * 40_000_000))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await _read_to_the_end(agent)
        assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await bystander.say(inventory=make_inventory([]))
        await bystander.hear("verdicts")


async def _read_to_the_end(agent: Agent) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await agent.call.read() is not grpc.aio.EOF:
            pass


async def test_a_port_that_is_taken_is_an_error(link: LinkUnderTest) -> None:
    second = LinkServer(
        link.servicer,
        link.probes,
        link.deliveries,
        "127.0.0.1",
        link.port,
        tokens=link.exchange,
    )
    with pytest.raises(OSError, match="cannot listen"):
        await second.start()


async def test_heartbeats_are_sent_and_acknowledge_the_agents(
    store: Store, database_url: str
) -> None:
    async with serving(store, database_url, QUICK) as link, calling(link) as agent:
        await agent.open()
        await agent.say(heartbeat=link_pb2.Heartbeat(number=41, held=2**32 - 1, running=2**32 - 1))
        numbers, noted = [], 0
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while noted != 41:
                frame = await agent.hear_any(passing_over=["wanted"])
                assert frame is not None
                assert frame.WhichOneof("frame") == "heartbeat"
                numbers.append(frame.heartbeat.number)
                noted = frame.heartbeat.noted
    assert numbers == list(range(1, len(numbers) + 1))


async def test_session_ends_when_heartbeats_stop(store: Store, database_url: str) -> None:
    async with serving(store, database_url, IMPATIENT) as link, calling(link) as agent:
        await agent.open()
        assert (await agent.hear_end())[0] == "silent"


async def test_newer_session_supersedes_the_older(store: Store, database_url: str) -> None:
    async with serving(store, database_url, QUICK) as link, calling(link) as old:
        await store.create(make_new_run())
        await old.open()
        [assignment] = await old.take(1)
        async with calling(link) as new:
            await new.open(lease_of(assignment))
            code, message, retry = await old.hear_end()
            assert (code, retry) == ("superseded", True)
            assert "one agent" in message


async def test_reports_of_a_superseded_session_are_not_committed(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as old:
        await old.open()
        [assignment] = await old.take(1)
        await old.accept(assignment)
        async with calling(link) as new:
            await new.open(lease_of(assignment))
            await old.say_reports(make_report(assignment, 1, Phase.SUCCEEDED))
            assert (await old.hear_end())[0] == "superseded"
            assert await link.store.phase(run) is Phase.QUEUED
            assert await new.report(make_report(assignment, 1, Phase.RUNNING)) == [1]
    assert await link.store.phase(run) is Phase.RUNNING


async def test_superseded_session_leases_nothing(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as old, calling(link) as new:
        await old.open()
        await new.open()
        await link.store.enqueue(make_new_action("b"))  # which wakes both
        assert (await old.hear_end())[0] == "superseded"
        assert len(await new.take(2)) == 2


async def test_link_service_that_closes_ends_its_sessions_and_waits_for_them(
    store: Store, database_url: str
) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with serving(store, database_url, LinkTimings()) as link:
            hung_up = tasks.create_task(_stay_until_sent_away(link))
            await until(lambda: bool(link.servicer._open_streams))
        assert link.servicer._serving == 0
        assert await hung_up == ("stopping", True)


async def _stay_until_sent_away(link: LinkUnderTest) -> tuple[str, bool]:
    async with calling(link) as agent:
        await agent.open()
        code, _, retry = await agent.hear_end()
    return code, retry
