"""Lines of a log by number: shipped ones by ranges of the bucket's object, live ones by the agent."""

from dataclasses import replace

import pytest

from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.log_search import LogQuery
from controlplane.feeds.feeds import Feeds
from controlplane.usecases.log_lines import LogLines, LogPage
from shared.blobs.store import BlobStore, BlobStream
from shared.formats.logs import encode_line
from shared.kit import gzip
from shared.model.logs import LogLine
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_action_key, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.runs import make_actions
from tests.integration.store.conftest import Store
from tests.integration.usecases.test_logs import CALLER, ScriptedAgent, blobs, feeds, store

__all__ = ["blobs", "feeds", "store"]

ACTION = make_action_key()
LINES = 20_000


@pytest.fixture(autouse=True)
def small_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.core.indexed_logs.CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr("controlplane.usecases.log_lines._PIECE_BYTES", 4_096)


async def ship(store: Store, blobs: BlobStore) -> str:
    """Run an action whose shipped log has LINES lines."""
    await store.create(make_new_run())
    [assignment] = await store.claim()
    raw = (
        encode_line(LogLine(NOW, f"step {number} of {number * 7919 % 9973}"))
        for number in range(1, LINES + 1)
    )
    uri = f"{blobs.base}/{ORG}/{ACTION.run.project}/{ACTION.run.domain}/log.gz"
    await blobs.write(uri, gzip.compress(b"".join(raw)))
    await store.report(replace(make_report(assignment, 1, Phase.SUCCEEDED), log_uri=uri))
    return uri


def make_lines(store: Store, feeds: Feeds, blobs: BlobStore, *script: list[str]) -> LogLines:
    actions = make_actions(store.database, feeds, FakeClock(NOW), blobs)
    return LogLines(actions, blobs, ScriptedAgent(list(script)))


def numbers(page: LogPage) -> list[int]:
    return [each.number for each in page.lines]


async def test_lines_of_a_shipped_log_are_read_from_the_last_checkpoint(
    store: Store, feeds: Feeds, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ship(store, blobs)
    lines = make_lines(store, feeds, blobs)
    last = await lines.read(CALLER, ACTION, 1, first=0, limit=3)
    assert numbers(last) == [LINES - 2, LINES - 1, LINES]
    assert (last.line_count, last.is_complete) == (LINES, True)

    begun: list[int] = []
    stream = blobs.stream

    async def noting(uri: str, *, start: int = 0, end: int | None = None) -> BlobStream:
        begun.append(start)
        return await stream(uri, start=start, end=end)

    monkeypatch.setattr(blobs, "stream", noting)
    page = await lines.read(CALLER, ACTION, 0, first=15_000, limit=2)
    assert [each.line.text for each in page.lines] == [
        f"step {number} of {number * 7919 % 9973}" for number in (15_000, 15_001)
    ]
    assert page.line_count == LINES  # known, though this call did not read to the end
    assert begun[0] > 0


async def test_log_that_was_written_again_is_read_from_its_beginning(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    uri = await ship(store, blobs)
    lines = make_lines(store, feeds, blobs)
    await lines.read(CALLER, ACTION, 1, first=0, limit=1)
    texts = (f"{number} again and again and again" for number in range(1, 30_001))
    await blobs.write(
        uri, gzip.compress(b"".join(encode_line(LogLine(NOW, each)) for each in texts))
    )
    page = await lines.read(CALLER, ACTION, 1, first=19_000, limit=1)
    assert [each.line.text for each in page.lines] == ["19000 again and again and again"]
    assert page.line_count is None


async def test_search_covers_the_whole_log(store: Store, feeds: Feeds, blobs: BlobStore) -> None:
    await ship(store, blobs)
    lines = make_lines(store, feeds, blobs)
    query = LogQuery(text=r"^step \d*999 ", is_regex=True, context=1, limit=2)
    found = await lines.search(CALLER, ACTION, 1, query, first=0)
    assert numbers(found.page) == [998, 999, 1000, 1998, 1999, 2000]
    assert (found.match_count, found.next_line, found.page.line_count) == (20, 2999, LINES)
    rest = await lines.search(CALLER, ACTION, 1, query, first=found.next_line)
    assert numbers(rest.page)[:2] == [2999, 3000]
    assert rest.match_count == 18


async def test_lines_of_a_running_attempt_are_those_that_its_agent_has(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    lines = make_lines(store, feeds, blobs, *[["one", "two", "\rthr", "three"]] * 3)
    last = await lines.read(CALLER, ACTION, 0, first=0, limit=2)
    assert [(each.number, each.line.text) for each in last.lines] == [(2, "two"), (3, "three")]
    assert (last.line_count, last.is_complete) == (3, False)
    first = await lines.read(CALLER, ACTION, 1, first=1, limit=2)
    assert (numbers(first), first.line_count) == ([1, 2], None)
    found = await lines.search(CALLER, ACTION, 1, LogQuery(text="t"), first=0)
    assert numbers(found.page) == [2, 3]


async def test_lines_that_cannot_be_are_refused_with_the_reason(
    store: Store, feeds: Feeds, blobs: BlobStore
) -> None:
    uri = await ship(store, blobs)
    lines = make_lines(store, feeds, blobs)
    for first, limit in ((-1, 1), (1, 0), (1, 1_001)):
        with pytest.raises(InvalidError):
            await lines.read(CALLER, ACTION, 1, first=first, limit=limit)
    with pytest.raises(NotFoundError, match="attempt"):
        await lines.read(CALLER, ACTION, 2, first=1, limit=1)
    assert numbers(await lines.read(CALLER, ACTION, 1, first=LINES + 1, limit=5)) == []
    await blobs.delete(uri)
    with pytest.raises(NotFoundError, match="log"):
        await lines.read(CALLER, ACTION, 1, first=1, limit=1)
