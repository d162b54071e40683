"""
Use cases of log lines by number: a window, the last ones, and searches over a whole log.

A shipped log is read from the bucket in pieces, from the last checkpoint before the wanted line; no
more than a piece is in memory. The log of a running attempt is read from its agent, as far as it is
there when the call begins. ``logs`` streams a log as it grows.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from controlplane.core.actions import ActionDetail, AttemptDetail
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotFoundError, UnavailableError
from controlplane.core.indexed_logs import Block, Checkpoint, LogIndex, NumberedLines
from controlplane.core.log_search import (
    MAX_CONTEXT,
    MAX_LINES,
    LastLines,
    LineWindow,
    LogQuery,
    LogSearch,
    NumberedLine,
)
from controlplane.usecases.actions import Actions
from controlplane.usecases.blob_access import BlobAccess
from controlplane.usecases.logs import LiveLogs
from shared.blobs.errors import BlobError, BlobNotFoundError, BlobRangeError
from shared.blobs.store import BlobStore, BlobStream
from shared.formats.logs import encode_line
from shared.formats.shipped_logs import MAX_PACKED_BYTES, DamagedLogError
from shared.kit.admission import AdmissionLimiter
from shared.kit.cache import LruCache
from shared.model.ids import ActionKey, AttemptId, ClusterName

AT_ONCE = 4
"""Logs that one replica reads at once; each takes a thread while it decompresses."""
LIVE_WITHIN = timedelta(seconds=10)
"""How long a live log is read at most."""
QUIET_AFTER = timedelta(milliseconds=500)
"""After such a pause, a live log is taken to have been read to its end."""

_INDEXES = 32
_PIECE_BYTES = 64 * 1024


class _Lines(Protocol):
    def take(self, block: Block) -> bool:
        """Take a block of lines; return whether no more are wanted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Lines of a log; ``line_count`` is None if it was not read to its end."""

    attempt: int
    lines: Sequence[NumberedLine]
    line_count: int | None
    is_complete: bool  # no line will be added


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMatches:
    """The first matches with their context; ``next_line``: where more begin, 0 if there are none."""

    page: LogPage
    match_count: int
    is_count_exact: bool
    next_line: int


class LogLines:
    def __init__(self, actions: Actions, blobs: BlobStore, live: LiveLogs) -> None:
        self._actions = actions
        self._access = BlobAccess(blobs.base)
        self._blobs = blobs
        self._live = live
        self._indexes: LruCache[str, LogIndex] = LruCache(_INDEXES)
        self._slots = AdmissionLimiter(AT_ONCE, hold_at_most=60)

    async def read(
        self, caller: Caller, action: ActionKey, attempt: int, *, first: int, limit: int
    ) -> LogPage:
        """
        Return lines from the number ``first`` on; 0: the last lines.

        ``attempt`` 0: the last one with a log. InvalidError, NotFoundError, UnavailableError.
        """
        if not 1 <= limit <= MAX_LINES:
            raise InvalidError(f"limit: ask for 1 to {MAX_LINES} lines")
        if first < 0:
            raise InvalidError("first_line: lines are numbered from 1; 0 asks for the last ones")
        lines = LineWindow(first, limit) if first else LastLines(limit)
        number, count, is_complete = await self._read(caller, action, attempt, lines, first)
        return LogPage(attempt=number, lines=lines.lines, line_count=count, is_complete=is_complete)

    async def search(
        self, caller: Caller, action: ActionKey, attempt: int, query: LogQuery, *, first: int
    ) -> LogMatches:
        """Return the matches from the line ``first`` on; the errors are those of ``read``."""
        if not 0 <= query.context <= MAX_CONTEXT:
            raise InvalidError(f"context: ask for 0 to {MAX_CONTEXT} lines")
        if not 1 <= query.limit <= MAX_LINES:
            raise InvalidError(f"limit: ask for 1 to {MAX_LINES} matches")
        if first < 0:
            raise InvalidError("first_line: lines are numbered from 1")
        search = LogSearch(query, max(first, 1))
        before = max(first - query.context, 1)
        number, count, is_complete = await self._read(caller, action, attempt, search, before)
        return LogMatches(
            page=LogPage(
                attempt=number, lines=search.lines, line_count=count, is_complete=is_complete
            ),
            match_count=search.match_count,
            is_count_exact=search.is_count_exact,
            next_line=search.next_line,
        )

    async def _read(
        self, caller: Caller, action: ActionKey, attempt: int, lines: _Lines, first: int
    ) -> tuple[int, int | None, bool]:
        """Return the attempt's number, the number of lines, and whether the log is complete."""
        detail = await self._actions.detail(caller, action)
        found = _find_attempt(detail, action, attempt)
        async with self._slots.admitted():
            if found.log_uri:
                uri = found.log_uri
                self._access.require_of_action(caller, uri, "log lines of action", action)
                return found.number, await self._read_shipped(uri, lines, first), True
            if found.ended_at is not None:
                return found.number, 0, True  # it ended without a log
            count = await self._read_live(caller, detail, found, lines)
            return found.number, count, False

    async def _read_shipped(self, uri: str, lines: _Lines, first: int) -> int | None:
        try:
            index, start, packed = await self._open(uri, first)
            numbered = NumberedLines(start)
            async for chunk in packed:
                for begin in range(0, len(chunk), _PIECE_BYTES):
                    index.note(numbered)
                    blocks = numbered.feed(chunk[begin : begin + _PIECE_BYTES])
                    if await asyncio.to_thread(_take_all, blocks, lines):
                        return index.line_count
            if (block := numbered.close()) is not None:
                lines.take(block)
        except BlobNotFoundError as error:
            raise NotFoundError("log", uri) from error
        except BlobError as error:
            raise UnavailableError(str(error)) from error
        except DamagedLogError as error:
            raise UnavailableError(f"the shipped log cannot be read: {error}") from error
        index.line_count = numbered.line
        return numbered.line

    async def _open(self, uri: str, first: int) -> tuple[LogIndex, Checkpoint | None, BlobStream]:
        """Open a log at the last checkpoint before a line, if it is still the one that was indexed."""
        index = self._indexes.get(uri)
        start = index.find(first) if index is not None and first else None
        try:
            packed = await self._blobs.stream(uri, start=start.packed if start else 0)
        except BlobRangeError:  # another one, which is shorter
            index, start, packed = None, None, await self._blobs.stream(uri)
        if packed.info.size > MAX_PACKED_BYTES:
            raise InvalidError(
                f"the log at {uri} is larger than {MAX_PACKED_BYTES} bytes; download it from the"
                " bucket"
            )
        if index is None or index.etag != packed.info.etag:
            index = self._indexes[uri] = LogIndex(packed.info.etag)
            if start is not None:
                start, packed = None, await self._blobs.stream(uri)
        return index, start, packed

    async def _read_live(
        self, caller: Caller, detail: ActionDetail, attempt: AttemptDetail, lines: _Lines
    ) -> int | None:
        """Read what is there; 0 lines if the agent has no log yet."""
        id_, count = AttemptId(detail.row.id, attempt.number), 0
        cluster = ClusterName(attempt.cluster)
        followed = self._live.follow_logs(caller.org, cluster, id_, 0)
        async with aclosing(followed) as chunks:
            try:
                async with asyncio.timeout(LIVE_WITHIN.total_seconds()):
                    while True:
                        pause = QUIET_AFTER if count else LIVE_WITHIN
                        async with asyncio.timeout(pause.total_seconds()):
                            chunk = await anext(chunks, None)
                        if chunk is None:
                            break
                        raw = [encode_line(line)[:-1] for line in chunk.lines]
                        if not raw:
                            continue  # the state of a line that is being written
                        count = chunk.last_line
                        block = Block(count - len(raw) + 1, raw)
                        if await asyncio.to_thread(lines.take, block):
                            return None
            except TimeoutError:
                pass
            except NotFoundError:
                return 0
        return count


def _take_all(blocks: Iterator[Block], lines: _Lines) -> bool:
    return any(lines.take(block) for block in blocks)


def _find_attempt(detail: ActionDetail, action: ActionKey, number: int) -> AttemptDetail:
    """Return an attempt; NotFoundError. 0: the last one with a log, or the last one."""
    if number:
        found = [each for each in detail.attempts if each.number == number]
    else:
        logged = [each for each in detail.attempts if each.logs_available]
        found = logged or list(detail.attempts)
    if not found:
        raise NotFoundError("attempt", f"{action}, number {number or 1}")
    return max(found, key=lambda each: each.number)
