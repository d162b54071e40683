"""Logs: a follower gets each line once, though the agent disconnects."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.errors import NotFoundError, UnavailableError
from controlplane.feeds.feeds import Feeds
from controlplane.store.notify.notifications import listen
from controlplane.usecases.logs import Logs
from shared.blobs.store import BlobStore, open_store
from shared.model.ids import AttemptId, ClusterName, OrgName
from shared.model.logs import LogChunk, LogLine
from shared.model.phases import Phase
from tests.factories import (
    NOW,
    ORG,
    make_action_key,
    make_failure,
    make_new_run,
    make_report,
)
from tests.fakes.clock import FakeClock
from tests.integration.runs import make_actions
from tests.integration.store.conftest import Store, store
from tests.running import running, until

__all__ = ["store"]

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))
TEXTS = ["one", "two", "three", "four"]
STATE = "\r"  # in a script, begins a state of an unfinished line


@dataclass(slots=True)
class ScriptedAgent:
    """Agent that replies from a script, one entry per call."""

    script: list[Sequence[str] | Exception]
    asked_from: list[int] = field(default_factory=list)

    async def follow_logs(
        self, org: OrgName, cluster: ClusterName, attempt: AttemptId, after_line: int
    ) -> AsyncGenerator[LogChunk, None]:
        assert (org, cluster, attempt.number) == (ORG, "c1", 1)
        self.asked_from.append(after_line)
        output = self.script.pop(0)
        if isinstance(output, Exception):
            raise output
        line = after_line
        for text in output:
            if text.startswith(STATE):
                yield LogChunk([], line, LogLine(NOW, text.removeprefix(STATE)))
                continue
            line += 1
            yield LogChunk([LogLine(NOW, text)], line)
            if text == "(breaks)":
                raise UnavailableError("it went away")


@pytest.fixture
async def feeds(store: Store, database_url: str) -> AsyncIterator[Feeds]:
    made = Feeds(store.database, partial(listen, database_url))
    async with running(made, at_most=60):
        yield made


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return open_store(f"file://{tmp_path}")


def make_logs(store: Store, feeds: Feeds, blobs: BlobStore, agent: ScriptedAgent) -> Logs:
    return Logs(make_actions(store.database, feeds, FakeClock(NOW), blobs), blobs, agent)


async def follow(logs: Logs, attempt: int = 1, pod: str = "") -> list[str]:
    async with asyncio.timeout(60):
        return [
            line.text
            async for lines in logs.follow(CALLER, make_action_key(), attempt, pod=pod)
            for line in lines
        ]


async def ship(blobs: BlobStore, texts: Sequence[str]) -> str:
    output = [json.dumps({"t": 0, "m": text, "o": 1}) for text in texts]
    uri = f"{blobs.base}/{ORG}/log.gz"
    await blobs.write(uri, gzip.compress("\n".join(output).encode()))
    return uri


async def test_log_reader_continues_after_the_agent_reconnects(
    store: Store,
    feeds: Feeds,
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controlplane.usecases.logs.POLL_INTERVAL", NOW - NOW)
    await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    away = UnavailableError("no agent")
    agent = ScriptedAgent([away, ["one", "(breaks)"], away, away, ["three"]])
    uri = await ship(blobs, ["one", "(breaks)", "three", "four"])

    async def end() -> None:
        await until(lambda: not agent.script)
        done = replace(make_report(assignment, 2, Phase.SUCCEEDED), log_uri=uri)
        await store.report(done)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(end())
        texts = await follow(make_logs(store, feeds, blobs, agent))
    assert texts == ["one", "(breaks)", "three", "four"]
    assert agent.asked_from == [0, 0, 2, 2, 2]


async def test_states_of_an_unfinished_line_are_shown_and_not_counted(
    store: Store,
    feeds: Feeds,
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controlplane.usecases.logs.POLL_INTERVAL", NOW - NOW)
    await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    agent = ScriptedAgent(
        [
            ["one", "\r1/3", "\r2/3", "(breaks)"],
            ["\r2/4"],  # the same line of the log, read again
        ]
    )
    uri = await ship(blobs, ["one", "(breaks)", "2/4", "four"])

    async def end() -> None:
        await until(lambda: not agent.script)
        done = replace(make_report(assignment, 2, Phase.SUCCEEDED), log_uri=uri)
        await store.report(done)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(end())
        texts = await follow(make_logs(store, feeds, blobs, agent))
    assert texts == ["one", "1/3", "2/3", "(breaks)", "2/4", "four"]
    assert agent.asked_from == [0, 2]


async def test_shipped_log_is_read_from_the_bucket_only(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    uri = await ship(blobs, TEXTS)
    await store.report(replace(make_report(assignment, 1, Phase.SUCCEEDED), log_uri=uri))
    agent = ScriptedAgent([])
    assert await follow(make_logs(store, feeds, blobs, agent)) == TEXTS
    assert agent.asked_from == []


async def test_log_not_found_by_the_agent_is_retried_after_the_next_change(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    agent = ScriptedAgent([NotFoundError("log", "x"), ["one", "two"]])
    uri = await ship(blobs, TEXTS)

    async def go_on() -> None:
        await until(lambda: bool(agent.asked_from))
        await store.report(make_report(assignment, 1, Phase.RUNNING))
        await until(lambda: not agent.script)
        done = replace(make_report(assignment, 2, Phase.SUCCEEDED), log_uri=uri)
        await store.report(done)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(go_on())
        assert await follow(make_logs(store, feeds, blobs, agent)) == TEXTS


async def test_log_of_a_missing_attempt_is_not_found(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    run = await store.create(make_new_run())
    await store.abort(run)
    with pytest.raises(NotFoundError):
        await follow(make_logs(store, feeds, blobs, ScriptedAgent([])))


async def test_log_of_an_action_aborted_between_attempts_is_the_previous_attempts_log(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    run = await store.create(make_new_run(retries=1))
    [assignment] = await store.claim()
    uri = await ship(blobs, TEXTS)
    failed = make_report(assignment, 1, Phase.FAILED, failure=make_failure())
    await store.report(replace(failed, log_uri=uri))
    await store.abort(run)

    note, *texts = await follow(make_logs(store, feeds, blobs, ScriptedAgent([])), attempt=2)

    assert texts == TEXTS
    assert note == "attempt 2 was aborted before it wrote a log; this is the log of attempt 1"


async def test_log_reader_that_stops_releases_its_watch(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    await store.create(make_new_run())
    await store.claim()
    agent = ScriptedAgent([["one", "two"]])
    shown = make_logs(store, feeds, blobs, agent).follow(CALLER, make_action_key(), 1)
    assert isinstance(shown, AsyncGenerator)
    await anext(shown)
    assert feeds._watched
    await shown.aclose()
    assert feeds._watched == {}


async def test_log_of_a_pod_is_that_of_its_attempt_and_other_pods_are_named(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    uri = await ship(blobs, TEXTS)
    await store.report(replace(make_report(assignment, 1, Phase.SUCCEEDED), log_uri=uri))
    logs = make_logs(store, feeds, blobs, ScriptedAgent([]))

    assert await follow(logs, pod="c1-1") == TEXTS
    with pytest.raises(NotFoundError, match=r"pod other of attempt 1 of .* there is c1-1"):
        await follow(logs, pod="other")
