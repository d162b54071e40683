"""
Reflector: lists a kind and then watches it, until cancelled; base of all informers.

A server that returns 410, is busy, restarts or stops sending is normal: the cache stays until
there is a complete new list. Each watch ends after about a minute by its timeoutSeconds and
the next resumes from the last resource version, so a dead connection is noticed soon after.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.client import Change, ChangeKind, Kube
from dataplane.agent.kube.errors import BusyError, ExpiredError, KubeError, UnreachableError
from dataplane.agent.kube.objects import Kind, Object
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_SHORT = timedelta(milliseconds=500)  # the shortest watch that we ask for lasts a second
_BACKOFF = Backoff(
    first=2 * client_limits.RETRY_FIRST, at_most=client_limits.RELIST_AT_MOST, jitter=0.5
)


@dataclass(slots=True)
class Counts:
    """Counters for metrics."""

    lists: int = 0
    watches: int = 0
    changes: int = 0
    failures: int = 0


class Reflector(ABC):
    """Base class of caches of a kind; call :meth:`run` in a task."""

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        *,
        namespace: str = "",
        labels: str = "",
        clock: Clock,
        lasting: timedelta = client_limits.WATCH_LASTS,
    ) -> None:
        """``namespace`` "" means all, ``labels`` is a selector, ``lasting`` is a watch's length."""
        self._kube = kube.with_retry_timeout(timedelta(0))  # the loop below retries
        self._kind = kind
        self._namespace = namespace
        self._labels = labels
        self._clock = clock
        self._lasting = lasting
        self._since = ""  # the latest resource version received; "": list first
        self._failures = 0  # in a row
        self._listed = asyncio.Event()
        self.counts = Counts()
        self.problem: KubeError | None = None
        """Error of the latest list or watch; None when it succeeded."""

    @abstractmethod
    def replace(self, items: Sequence[Object]) -> None:
        """Replace the cache with ``items``, a complete list."""

    @abstractmethod
    def apply(self, change: Change) -> None:
        """Apply one change, never a bookmark."""

    async def synced(self) -> None:
        """Return once the first list is complete; waits while listing is not allowed."""
        await self._listed.wait()

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if not self._since:
                    await self._list()
                await self._watch()
            except ExpiredError as error:
                self._since = ""
                await self._pause(error)  # so that not all agents list at once
            except KubeError as error:
                self.problem = error
                logger.warning(
                    "watch failed, retrying",
                    extra={"resource": self._kind.plural, "detail": str(error)},
                )
                await self._pause(error)

    async def _list(self) -> None:
        listing = await self._kube.list(self._kind, namespace=self._namespace, labels=self._labels)
        self.counts.lists += 1
        self.replace(listing.items)
        self._since = listing.resource_version
        self._listed.set()
        self._note_success()

    async def _watch(self) -> None:
        """Watch once, until the server ends it."""
        began = self._clock.now()
        self.counts.watches += 1
        changes = self._kube.watch(
            self._kind,
            namespace=self._namespace,
            labels=self._labels,
            since=self._since,
            lasting=self._lasting,
        )
        received = False
        async with aclosing(changes):
            async for change in changes:
                received = True
                if change.kind is not ChangeKind.BOOKMARK:
                    self.counts.changes += 1
                    self.apply(change)
                self._since = change.resource_version
                self._note_success()
        if not received and self._clock.now() - began < _SHORT:
            raise UnreachableError("watches end at once; check for a proxy before the API server")
        self._note_success()

    def _note_success(self) -> None:
        self._failures = 0
        self.problem = None

    async def _pause(self, error: KubeError) -> None:
        self.counts.failures += 1
        self._failures += 1
        pause = _BACKOFF.delay(self._failures)
        if isinstance(error, BusyError) and error.retry_after is not None:
            pause += min(error.retry_after, client_limits.RETRY_AFTER_AT_MOST)
        await self._clock.sleep(pause)
