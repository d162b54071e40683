"""
Garbage on the link port, of agents and of other clients, is refused with what is
wrong, no traceback in the log, and a port that goes on.
"""

import asyncio
import logging
from random import Random
from uuid import UUID

import grpc
import grpc.aio
import pytest

from shared.idl.agent.v1 import assignment_pb2, call_pb2, link_pb2, report_pb2
from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.phases import Phase
from shared.model.reports import Report
from shared.wire.reports import render_report
from tests.factories import NOW
from tests.integration.link.conftest import (
    Agent,
    LinkUnderTest,
    calling,
    make_hello,
    make_inventory,
)

MOST = 2**63 - 1
GARBAGE = b"\xff\xff\xff\xff"
MUTATIONS = 150


def bugs(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    return [
        (record.getMessage(), record.exc_info or record.exc_text)
        for record in caplog.records
        if record.exc_info or record.levelno >= logging.ERROR
    ]


async def end_of(agent: Agent) -> tuple[str, str]:
    """Return how the session ends: with a refusal, or ("", "") for a mere end."""
    try:
        code, message, _ = await agent.hear_end()
    except (AssertionError, grpc.aio.AioRpcError):
        return "", ""
    return code, message


async def end_of_session(link: LinkUnderTest, stage: str, *frames: bytes) -> tuple[str, str]:
    """Begin a session, send frames, and return how it ends."""
    async with calling(link) as agent:
        if stage == "greeted":
            await agent.greet()
        elif stage == "open":
            await agent.open()
        for frame in frames:
            await agent.say_bytes(frame)
        return await end_of(agent)


@pytest.mark.parametrize("stage", ["first", "greeted", "open"])
async def test_frame_that_cannot_be_read_is_refused_as_the_agents(
    link: LinkUnderTest, caplog: pytest.LogCaptureFixture, stage: str
) -> None:
    caplog.set_level(logging.DEBUG)
    code, message = await end_of_session(link, stage, GARBAGE)
    assert code == "protocol"
    assert "frame" in message
    assert not bugs(caplog)
    async with calling(link) as agent:
        await agent.open()


def strange_frames() -> dict[str, link_pb2.AgentFrame]:
    frame = link_pb2.AgentFrame
    lease = assignment_pb2.Lease(lease_id=b"\xff" * 3)
    unknown_lease = assignment_pb2.Lease(lease_id=bytes(16))
    report = report_pb2.Report(lease_id=b"\xff" * 3, version=2**32 - 1, phase=2**32 - 1)
    whole = render_report(
        Report(
            attempt=AttemptId(ActionId(UUID(int=1)), 1),
            lease=LeaseId(UUID(int=1)),
            version=1,
            phase=Phase.RUNNING,
            at=NOW,
        )
    )
    late = report_pb2.Report()
    late.CopyFrom(whole)
    late.at_us = MOST
    early = report_pb2.Report()
    early.CopyFrom(whole)
    early.at_us = -MOST
    return {
        "nothing": frame(),
        "an empty inventory": frame(inventory=link_pb2.Inventory()),
        "an inventory of no lease": frame(inventory=link_pb2.Inventory(leases=[lease], last=True)),
        "a second hello": frame(hello=make_hello()),
        "credit of more than there is": frame(credit=link_pb2.Credit(total=2**64 - 1)),
        "a lease that is none": frame(accepted=assignment_pb2.Accepted(leases=[lease])),
        "a lease of nobody": frame(accepted=assignment_pb2.Accepted(leases=[unknown_lease])),
        "a report of nothing": frame(reports=report_pb2.ReportBatch(reports=[report])),
        "an empty report": frame(reports=report_pb2.ReportBatch(reports=[report_pb2.Report()])),
        "a report of nobody": frame(reports=report_pb2.ReportBatch(reports=[whole])),
        "a report of the last day": frame(reports=report_pb2.ReportBatch(reports=[late])),
        "a report of the first day": frame(reports=report_pb2.ReportBatch(reports=[early])),
        "a reply to no call": frame(reply=call_pb2.Reply(id=2**64 - 1)),
        "a heartbeat of the largest numbers": frame(
            heartbeat=link_pb2.Heartbeat(
                number=2**63 - 1,
                sent_at_us=MOST,
                held=2**31 - 1,
                running=2**31 - 1,
                noted=MOST,
            )
        ),
        "a heartbeat of the smallest": frame(heartbeat=link_pb2.Heartbeat(sent_at_us=-MOST)),
        "a protocol of any number": frame(hello=make_hello(protocol_min=1, protocol_max=2**32 - 1)),
        "a hello of NULs": frame(hello=make_hello(agent_id="\0", software="\0" * 5000)),
        "a hello of many capabilities": frame(hello=make_hello(capabilities=["x" * 999] * 999)),
    }


@pytest.mark.parametrize("stage", ["first", "greeted", "open"])
async def test_frame_with_impossible_values_is_not_logged_as_a_bug(
    link: LinkUnderTest, caplog: pytest.LogCaptureFixture, stage: str
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = {}
    for name, frame in strange_frames().items():
        # The garbage ends the session in any case.
        code, _ = await end_of_session(link, stage, frame.SerializeToString(), GARBAGE)
        if bugs(caplog) or code in {"internal", ""}:
            wrong[name] = (code, bugs(caplog))
        caplog.clear()
    assert not wrong


async def test_mutated_frames_are_never_bugs(
    link: LinkUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chance = Random(8)
    seeds = [frame.SerializeToString() for frame in strange_frames().values()]
    for number in range(MUTATIONS):
        seed = bytearray(chance.choice(seeds) or b"\x0a\x00")
        for _ in range(chance.randint(1, 5)):
            seed[chance.randrange(len(seed))] = chance.randrange(256)
        stage = "open" if chance.random() < 0.7 else "first"
        code, message = await end_of_session(link, stage, bytes(seed), GARBAGE)
        assert code not in {"internal", ""}, f"{number}: {seed!r} {message}"
        assert not bugs(caplog), f"{number}: {seed!r} {bugs(caplog)}"
        caplog.clear()


async def test_probe_that_cannot_be_read_is_refused_as_the_callers(
    link: LinkUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}") as channel:
        probe: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/volary.agent.v1.ProbeService/Probe"
        )
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await probe(GARBAGE, timeout=20)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not bugs(caplog)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        bytes.fromhex("16030100c8010000c40303") + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        bytes(1000),
    ],
    ids=["HTTP 1", "TLS", "frames of garbage", "zeros"],
)
async def test_connection_that_speaks_no_http2_is_ended(
    link: LinkUnderTest, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(sent)
    async with asyncio.timeout(30):
        try:
            await reader.read()
        except ConnectionError:
            pass  # as good an end as any
    writer.transport.abort()
    assert not bugs(caplog)
    async with calling(link) as agent:
        await agent.say(inventory=make_inventory([]))
        assert (await end_of(agent))[0] == "protocol"
