"""
Lists a kind and watches it, for ever: what every cache of the cluster is fed by.

A server that forgets (410), is busy, restarts or falls silent is normal: what is known stays
until there is a whole new list. Each watch ends after a minute by agreement and goes on from
the last resource version, so a connection that died without a word is noticed soon after.
"""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from dataplane.agent.kube import limits
from dataplane.agent.kube.client import Change, ChangeKind, Kube
from dataplane.agent.kube.errors import BusyError, ExpiredError, KubeError, UnreachableError
from dataplane.agent.kube.objects import Kind, Object
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_SHORT = timedelta(milliseconds=500)  # the shortest watch that we ask for lasts a second
_DOUBLINGS = 10


@dataclass(slots=True)
class Counts:
    """For metrics."""

    lists: int = 0
    watches: int = 0
    changes: int = 0
    failures: int = 0


class Reflector(ABC):
    """Whoever keeps what is heard of a kind; call :meth:`run` in a task."""

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        *,
        namespace: str = "",
        labels: str = "",
        clock: Clock,
        lasting: timedelta = limits.WATCH_LASTS,
    ) -> None:
        """``namespace`` "" means all, ``labels`` is a selector, ``lasting`` of one watch."""
        self._kube = kube.with_retry_timeout(timedelta(0))  # the loop below is the patience
        self._kind = kind
        self._namespace = namespace
        self._labels = labels
        self._clock = clock
        self._lasting = lasting
        self._since = ""  # the resource version up to which all is known; "": list first
        self._failures = 0  # in a row
        self._listed = asyncio.Event()
        self.counts = Counts()
        self.problem: KubeError | None = None
        """Why nothing is heard at present; None when all is well."""

    @abstractmethod
    def replace(self, items: Sequence[Object]) -> None:
        """Take ``items`` for all there is."""

    @abstractmethod
    def apply(self, change: Change) -> None:
        """Take note of one change, never of a bookmark."""

    async def synced(self) -> None:
        """Return once everything has been listed; first that may take until it is allowed."""
        await self._listed.wait()

    async def run(self) -> None:
        """Keep up with the cluster until cancelled."""
        while True:
            try:
                if not self._since:
                    await self._list()
                await self._watch()
            except ExpiredError as error:
                self._since = ""
                await self._pause(error)  # not all agents at once
            except KubeError as error:
                self.problem = error
                logger.warning(
                    "nothing is heard of the cluster's objects; trying again",
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
        """Watch once, to the agreed end."""
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
            raise UnreachableError("watches end as soon as they begin; is there a proxy between?")
        self._note_success()

    def _note_success(self) -> None:
        self._failures = 0
        self.problem = None

    async def _pause(self, error: KubeError) -> None:
        self.counts.failures += 1
        self._failures += 1
        longest = min(
            limits.RELIST_AT_MOST, limits.RETRY_FIRST * 2 ** min(self._failures, _DOUBLINGS)
        )
        pause = longest * random.uniform(0.5, 1)  # noqa: S311 - spreads a storm, keeps no secret
        if isinstance(error, BusyError) and error.retry_after is not None:
            pause += min(error.retry_after, limits.RETRY_AFTER_AT_MOST)
        await self._clock.sleep(pause)
