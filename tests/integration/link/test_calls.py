"""We test what is asked of an agent while its session lasts: a log is followed, at our pace."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from controlplane.core.errors import NotFoundError, UnavailableError
from controlplane.link.live_calls import FIRST_CREDIT
from shared.idl.agent.v1 import call_pb2
from shared.model.ids import ActionId, AttemptId, ClusterName
from shared.model.logs import LogChunk, LogLine, Originator
from shared.wire.logs import render_log_chunk
from tests.factories import NOW, ORG
from tests.integration.link.conftest import TIMEOUT_SECONDS, Agent, LinkUnderTest, calling
from tests.integration.store.conftest import CLUSTER
from tests.running import until

ATTEMPT = AttemptId(ActionId(UUID(int=7)), 1)


@dataclass(slots=True)
class Reader:
    """A reader that follows a log, one chunk for each turn it is given."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    texts: list[str] = field(default_factory=list)
    raised: BaseException | None = None
    is_done: bool = False

    async def read(self, lines: AsyncGenerator[LogChunk, None]) -> None:
        try:
            async with aclosing(lines):
                async for chunk in lines:
                    self.texts += [line.text for line in chunk.lines]
                    await self.turns.acquire()
        except (UnavailableError, NotFoundError) as error:
            self.raised = error
        self.is_done = True


@asynccontextmanager
async def reading(
    link: LinkUnderTest, *, after_line: int = 0, turns: int = 0
) -> AsyncIterator[tuple[Reader, "asyncio.Task[None]"]]:
    reader = Reader(asyncio.Semaphore(turns))
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        lines = link.logs.follow_logs(ORG, CLUSTER, ATTEMPT, after_line)
        task = tasks.create_task(reader.read(lines))
        yield reader, task
        task.cancel()


def make_chunk(text: str) -> call_pb2.LogChunk:
    return render_log_chunk(LogChunk([LogLine(NOW, text, Originator.USER)], 1))


async def answer(agent: Agent, call: int, **kind: object) -> None:
    await agent.say(reply=call_pb2.Reply(id=call, **kind))  # type: ignore[arg-type]


async def test_log_lines_arrive_as_the_agent_sends_them(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        async with reading(link, after_line=41, turns=9) as (reader, _):
            call = (await agent.hear("call")).call
            assert call.follow_logs.after_line == 41
            assert call.follow_logs.attempt.number == 1
            assert call.follow_logs.partial_lines
            for text in ("one", "two", "three"):
                await answer(agent, call.id, log_chunk=make_chunk(text))
            await answer(agent, call.id, done=call_pb2.Done())
            await until(lambda: reader.is_done)
        assert reader.texts == ["one", "two", "three"]
        assert reader.raised is None


async def test_call_credit_is_returned_per_chunk_read(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        async with reading(link) as (reader, _):
            call = (await agent.hear("call")).call.id
            for number in range(FIRST_CREDIT):
                await answer(agent, call, log_chunk=make_chunk(str(number)))
            credit = 0
            while credit < FIRST_CREDIT - 1:
                reader.turns.release()
                given = (await agent.hear("call_credit")).call_credit
                assert (given.id, given.chunks) == (call, 1)
                credit += given.chunks
            await answer(agent, call, done=call_pb2.Done())
            reader.turns.release()
            reader.turns.release()
            await until(lambda: reader.is_done)
        assert reader.texts == [str(number) for number in range(FIRST_CREDIT)]


async def test_call_ends_when_the_agent_exceeds_its_credit(
    link: LinkUnderTest,
) -> None:
    async with calling(link) as agent:
        await agent.open()
        async with reading(link) as (reader, _):
            call = (await agent.hear("call")).call.id
            for number in range(FIRST_CREDIT * 3):
                await answer(agent, call, log_chunk=make_chunk(str(number)))
            await agent.be_heard()  # or the reader's turns would give it credit in between
            for _ in range(FIRST_CREDIT * 3):
                reader.turns.release()
            await until(lambda: reader.is_done)
        assert isinstance(reader.raised, UnavailableError)
        assert "more replies than it had credit for" in str(reader.raised)
        frame = await agent.hear_any(passing_over=["heartbeat", "wanted", "call_credit"])
        assert frame is not None
        assert frame.call_cancel.id == call
        async with reading(link):
            assert (await agent.hear("call")).call.id != call


async def test_call_is_cancelled_when_its_reader_leaves(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        async with reading(link) as (reader, task):
            call = (await agent.hear("call")).call.id
            await answer(agent, call, log_chunk=make_chunk("one"))
            await until(lambda: bool(reader.texts))
            task.cancel()
            assert (await agent.hear("call_cancel")).call_cancel.id == call
            await answer(agent, call, log_chunk=make_chunk("too late"))
            await answer(agent, call, done=call_pb2.Done())
        async with reading(link, turns=1) as (second, _):
            again = (await agent.hear("call")).call.id
            await answer(agent, again, log_chunk=make_chunk("of another"))
            await answer(agent, again, done=call_pb2.Done())
            await until(lambda: second.is_done)
        assert second.texts == ["of another"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("not_found", NotFoundError), ("unavailable", UnavailableError), ("?", UnavailableError)],
)
async def test_call_error_of_the_agent_reaches_the_reader(
    link: LinkUnderTest, code: str, kind: type[Exception]
) -> None:
    async with calling(link) as agent:
        await agent.open()
        async with reading(link) as (reader, _):
            call = (await agent.hear("call")).call.id
            await answer(agent, call, error=call_pb2.CallError(code=code, message="no such"))
            await until(lambda: reader.is_done)
        assert isinstance(reader.raised, kind)


async def test_a_log_that_cannot_be_read_fails_its_reader_and_not_the_session(
    link: LinkUnderTest,
) -> None:
    async with calling(link) as agent:
        await agent.open()
        async with reading(link) as (reader, _):
            call = (await agent.hear("call")).call.id
            line = call_pb2.LogLine(at_us=2**62, text="from beyond the calendar")
            await answer(agent, call, log_chunk=call_pb2.LogChunk(lines=[line]))
            await until(lambda: reader.is_done)
        assert isinstance(reader.raised, UnavailableError)
        assert (await agent.hear("call_cancel")).call_cancel.id == call


async def test_open_calls_fail_when_the_agent_disconnects(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        async with reading(link) as (reader, _):
            await agent.hear("call")
            agent.call.cancel()
            await until(lambda: reader.is_done)
    assert isinstance(reader.raised, UnavailableError)
    assert "agent disconnected" in str(reader.raised)


async def test_call_without_a_connected_agent_is_unavailable(link: LinkUnderTest) -> None:
    async with reading(link) as (reader, _):
        await until(lambda: reader.is_done)
    assert isinstance(reader.raised, UnavailableError)
    elsewhere = link.logs.follow_logs(ORG, ClusterName("nowhere"), ATTEMPT, 0)
    async with aclosing(elsewhere):
        with pytest.raises(UnavailableError):
            await anext(elsewhere)


async def test_call_goes_to_the_latest_session(link: LinkUnderTest) -> None:
    async with calling(link) as old, calling(link) as new:
        await old.open()
        await new.open()
        async with reading(link):
            assert (await new.hear("call")).call.follow_logs.attempt.number == 1


async def test_reply_to_an_unknown_call_is_ignored(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        await answer(agent, 99, log_chunk=make_chunk("unasked"))
        async with reading(link, turns=1) as (reader, _):
            call = (await agent.hear("call")).call.id
            await answer(agent, call, done=call_pb2.Done())
            await until(lambda: reader.is_done)
        assert reader.texts == []


async def test_more_calls_than_an_agent_takes_are_refused(
    link: LinkUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.link.live_calls.MOST_CALLS", 1)
    async with calling(link) as agent:
        await agent.open()
        async with reading(link) as (first, _):
            await agent.hear("call")
            async with reading(link) as (second, _):
                await until(lambda: second.is_done)
            assert isinstance(second.raised, UnavailableError)
            assert not first.is_done
