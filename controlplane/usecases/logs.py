"""
Use cases of logs: streams an attempt's log, live from its agent or shipped from the bucket.

Lines are counted, so that a reader who began with the live log continues in the shipped log at
the same line. A line that is still being written is shown, and not counted.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Protocol

from controlplane.core.actions import ActionDetail, AttemptDetail, RunSource
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotFoundError, UnavailableError
from controlplane.core.followed_logs import ShownLines
from controlplane.usecases.actions import Actions
from controlplane.usecases.blob_access import BlobAccess
from shared.blobs.errors import BlobError, BlobNotFoundError
from shared.blobs.store import BlobStore
from shared.formats.shipped_logs import MAX_PACKED_BYTES, DamagedLogError, Unpacking
from shared.model.ids import ActionKey, AttemptId, ClusterName, OrgName
from shared.model.logs import LogChunk, LogLine, Originator
from shared.model.phases import TERMINAL, Phase

POLL_INTERVAL = timedelta(seconds=2)
"""Interval at which a disconnected agent is tried again."""


class LiveLogs(Protocol):
    """Interface to the agents' live logs; implemented by ``link.logs``."""

    def follow_logs(
        self, org: OrgName, cluster: ClusterName, attempt: AttemptId, after_line: int
    ) -> AsyncGenerator[LogChunk, None]:
        """
        Yield lines after ``after_line``, and states of an unfinished one, until the attempt ends.

        NotFoundError: the agent has no such log (any more). UnavailableError: the agent is not
        connected.
        """
        ...


class Logs:
    """Use cases of logs; ``blobs`` has the shipped ones, ``live`` the agents' own."""

    def __init__(self, actions: Actions, blobs: BlobStore, live: LiveLogs) -> None:
        self._actions = actions
        self._access = BlobAccess(blobs.base)
        self._blobs = blobs
        self._live = live

    async def follow(
        self, caller: Caller, action: ActionKey, attempt: int, *, pod: str = ""
    ) -> AsyncIterator[Sequence[LogLine]]:
        """
        Yield an attempt's log lines, oldest first, until its log is complete.

        An attempt has one log, which is that of the pod of its LogContext; NotFoundError for any
        other ``pod``.
        An action aborted between two attempts has a last attempt without a log: then the lines
        are those of the last attempt with a log.
        """
        shown = ShownLines()
        last: ActionDetail | None = None
        tried: object = None  # (phase, cluster) whose live log was read or not found
        found = False
        watched = self._actions.watch_detail(caller, action, at_least_every=POLL_INTERVAL)
        async with aclosing(watched) as details:
            async for detail in details:
                last = detail
                if detail.row.source is RunSource.TRACKED:
                    raise NotFoundError(
                        "log of attempt",
                        f"{action}, number {attempt}",
                        remedy="its run is tracked, and has its log where its program runs",
                    )
                there = next((each for each in detail.attempts if each.number == attempt), None)
                if there is None:
                    if attempt > detail.row.attempts:
                        raise NotFoundError("attempt", f"{action}, number {attempt}")
                    continue  # not leased yet
                if pod not in {"", there.pod_name}:
                    raise NotFoundError(
                        "pod", f"{pod} of attempt {attempt} of {action}", there_are=[there.pod_name]
                    )
                found = True
                if there.log_uri:
                    async for lines in self._shipped(caller, action, there, shown.count):
                        if lines_to_show := shown.add_lines(lines):
                            yield lines_to_show
                    return
                if there.phase in TERMINAL:
                    break  # it ended without a log
                if tried == (there.phase, there.cluster):
                    continue
                try:
                    chunks = self._live_chunks(caller, detail, there, shown.count)
                    async with aclosing(chunks) as live:
                        async for chunk in live:
                            if lines := shown.add_chunk(chunk):
                                yield lines
                except UnavailableError:
                    continue  # its agent is disconnected; retry after POLL_INTERVAL
                except NotFoundError:
                    pass  # no log yet: retry in the next phase
                tried = (there.phase, there.cluster)
        if last is not None and not shown.count and (earlier := _earlier_log(last, attempt)):
            yield [_note(last, attempt, earlier.number)]
            async for lines in self._shipped(caller, action, earlier, 0):
                yield lines
        elif not found:
            raise NotFoundError("log of attempt", f"{action}, number {attempt}")

    def _live_chunks(
        self, caller: Caller, detail: ActionDetail, attempt: AttemptDetail, after_line: int
    ) -> AsyncGenerator[LogChunk, None]:
        id_ = AttemptId(detail.row.id, attempt.number)
        return self._live.follow_logs(caller.org, ClusterName(attempt.cluster), id_, after_line)

    async def _shipped(
        self, caller: Caller, action: ActionKey, attempt: AttemptDetail, after_line: int
    ) -> AsyncIterator[Sequence[LogLine]]:
        self._access.require_of_action(caller, attempt.log_uri, "log lines of action", action)
        unpacking = Unpacking(after_line)
        try:
            packed = await self._blobs.stream(attempt.log_uri)
            if packed.info.size > MAX_PACKED_BYTES:
                raise InvalidError(
                    f"the log at {attempt.log_uri} is larger than {MAX_PACKED_BYTES} bytes; "
                    "download it from the bucket"
                )
            async for chunk in packed:
                for lines in unpacking.feed(chunk):
                    if lines:
                        yield lines
                    await asyncio.sleep(0)  # yield to the event loop, however fast the reader is
            if lines := unpacking.close():
                yield lines
        except BlobNotFoundError as error:
            raise NotFoundError("log", attempt.log_uri) from error
        except BlobError as error:
            raise UnavailableError(str(error)) from error
        except DamagedLogError as error:
            raise UnavailableError(f"the shipped log cannot be read: {error}") from error


def _earlier_log(detail: ActionDetail, attempt: int) -> AttemptDetail | None:
    """Return the last attempt with a log, if ``attempt`` is the last of an aborted action."""
    if detail.row.phase is not Phase.ABORTED or attempt != detail.row.attempts:
        return None
    logged = [each for each in detail.attempts if each.number < attempt and each.log_uri]
    return max(logged, key=lambda each: each.number, default=None)


def _note(detail: ActionDetail, attempt: int, shown: int) -> LogLine:
    text = (
        f"attempt {attempt} was aborted before it wrote a log; this is the log of attempt {shown}"
    )
    return LogLine(detail.row.ended_at or detail.row.updated_at, text, Originator.SYSTEM)
