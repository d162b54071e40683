"""Tests of the selection of runtimes: capabilities, and which runtime's log is read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.protocol import Job, NoLogError, ReportStatus
from dataplane.agent.runtimes.runtime_selection import Logs, Runtimes
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk, LogLine
from tests.unit.agent.assignments import NOW, make_assignment

ATTEMPT = make_assignment().attempt


@dataclass(frozen=True, slots=True)
class Kept:
    """A runtime that has these lines of every attempt's log, and may have lost the rest."""

    texts: Sequence[str]
    lost: bool = False

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        raise NotImplementedError

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        for number, text in enumerate(self.texts[after_line:], after_line + 1):
            yield LogChunk([LogLine(NOW, text)], number)
        if self.lost:
            raise NoLogError(f"{attempt} is not known")


def test_capabilities_follow_connectors() -> None:
    listed: set[str] = set()
    runtimes = Runtimes(
        choices=(), unsupported=Kept([]), capabilities=["python", "echo"], found=lambda: listed
    )
    assert runtimes.list_capabilities() == ["echo", "python"]

    listed |= {"snowflake", "python"}

    assert runtimes.list_capabilities() == ["echo", "python", "snowflake"]


async def read(into: list[str], *runtimes: Kept) -> None:
    async for chunk in Logs(runtimes).follow(ATTEMPT, 0):
        into += [line.text for line in chunk.lines]


async def test_log_comes_from_the_runtime_that_has_it() -> None:
    seen: list[str] = []
    await read(seen, Kept([], lost=True), Kept(["one", "two"]), Kept(["other"]))
    assert seen == ["one", "two"]


async def test_empty_log_is_not_sought_elsewhere() -> None:
    seen: list[str] = []
    await read(seen, Kept([]), Kept(["other"]))
    assert seen == []


async def test_log_of_no_runtime_is_not_found() -> None:
    with pytest.raises(NoLogError, match="no log of attempt"):
        await read([], Kept([], lost=True), Kept([], lost=True))


async def test_truncated_log_is_not_continued_by_another_runtime() -> None:
    seen: list[str] = []
    with pytest.raises(NoLogError):
        await read(seen, Kept(["one"], lost=True), Kept(["a", "b"]))
    assert seen == ["one"]
