"""
Tracks open streams, and ends them early: when the replica stops, when their credential expires or
is revoked, and when their caller's grants change.

A stream ends with UNAVAILABLE if its client should connect again, and with UNAUTHENTICATED if
its credential is of no use any more. If its task were merely cancelled, the SDK inside a task
would take that for its own cancellation, and stop watching without an error.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from controlplane.core.callers import Caller, Subject
from controlplane.core.credentials import Revocation
from shared.kit.clock import Clock
from shared.model.ids import OrgName

STOPPING = "this replica of the control plane is stopping; connect again"
EXPIRED = "the credential of this stream has expired; connect again with a new one"
CHANGED = "the caller's permissions have changed; connect again"
REVOKED = "the credential of this stream was revoked; log in again"

_Key: TypeAlias = tuple[str, ...]


class LiveStream:
    """One open stream, served by the task that opened it."""

    __slots__ = ("_ending", "_task")

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task
        self._ending: ConnectError | None = None

    def end(self, code: Code, message: str) -> None:
        """End the stream with an error; the first error is the one its client gets."""
        if self._ending is None:
            self._ending = ConnectError(code, message)
            self._task.cancel()

    def replace_cancellation(self) -> None:
        """Raise the error that the stream was ended with, if its task was cancelled by ``end``."""
        if self._ending is not None:
            self._task.uncancel()
            raise self._ending from None


class LiveStreams:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams: set[LiveStream] = set()
        self._of_credential: defaultdict[_Key, set[LiveStream]] = defaultdict(set)
        self._of_subject: defaultdict[_Key, set[LiveStream]] = defaultdict(set)
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._streams)

    def close(self) -> None:
        """End every stream with "connect again"; open none from now on."""
        self._is_closed = True
        for stream in list(self._streams):
            stream.end(Code.UNAVAILABLE, STOPPING)

    def end_revoked(self, revocations: Collection[Revocation]) -> None:
        """End the streams of revoked credentials."""
        for each in revocations:
            for stream in self._of_credential.get((each.org, each.kind, each.id), ()):
                stream.end(Code.UNAUTHENTICATED, REVOKED)

    def end_changed(self, org: OrgName | None, subjects: Sequence[Subject] | None) -> None:
        """
        End the streams of subjects whose grants changed; None: of all subjects of the org.

        Nothing is ended when the org is None, that is, when notifications may have been lost: then
        every client of every replica would connect again. Their credentials expire soon enough.
        """
        if org is None:
            return
        if subjects is None:
            keys: Iterable[_Key] = [key for key in self._of_subject if key[0] == org]
        else:
            keys = [(org, subject) for subject in subjects]
        for key in keys:
            for stream in self._of_subject.get(key, ()):
                stream.end(Code.UNAVAILABLE, CHANGED)

    @contextmanager
    def open(self) -> Iterator[LiveStream]:
        """Track the stream that the current task serves, for the duration of a block."""
        task = asyncio.current_task()
        if self._is_closed or task is None:
            raise ConnectError(Code.UNAVAILABLE, STOPPING)
        stream = LiveStream(task)
        self._streams.add(stream)
        try:
            yield stream
        except asyncio.CancelledError:
            stream.replace_cancellation()
            raise
        finally:
            self._streams.discard(stream)

    @contextmanager
    def of_caller(self, stream: LiveStream, caller: Caller) -> Iterator[None]:
        """
        End the stream with its caller's credential, for the duration of a block.

        Enter it without an await after the credential was checked.
        """
        credential = caller.credential
        timer: asyncio.TimerHandle | None = None
        if credential is not None and credential.expires_at is not None:
            seconds = (credential.expires_at - self._clock.now()).total_seconds()
            timer = asyncio.get_running_loop().call_later(
                max(seconds, 0), stream.end, Code.UNAVAILABLE, EXPIRED
            )
        try:
            with _registered(self._of_subject, (caller.org, caller.subject), stream):
                if credential is None:
                    yield
                else:
                    key = (caller.org, credential.kind, credential.id)
                    with _registered(self._of_credential, key, stream):
                        yield
        finally:
            if timer is not None:
                timer.cancel()


@contextmanager
def _registered(
    streams: defaultdict[_Key, set[LiveStream]], key: _Key, stream: LiveStream
) -> Iterator[None]:
    streams[key].add(stream)
    try:
        yield
    finally:
        streams[key].discard(stream)
        if not streams[key]:
            del streams[key]
