"""
The cluster's objects of one kind, in memory and up to date, found by name or by attempt.

What is here is what the server said last: it may be late, and it is never invented. Nothing
leaves the cache because asking failed.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from dataplane.agent.kube import limits
from dataplane.agent.kube.client import Change, ChangeKind, Kube
from dataplane.agent.kube.notifiers import Wakers
from dataplane.agent.kube.objects import ATTEMPT_LABEL, Kind, Name, Object, name_of
from dataplane.agent.kube.reflector import Reflector
from shared.kit.clock import Clock


class Informer(Reflector):
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
        super().__init__(
            kube, kind, namespace=namespace, labels=labels, clock=clock, lasting=lasting
        )
        self._objects: dict[Name, Object] = {}
        self._by_attempt: dict[str, dict[Name, Object]] = {}
        # As they were deleted, of attempts that somebody waits for: how they ended.
        self._deleted: dict[str, dict[Name, Object]] = {}
        self._wakers = Wakers(on_unused=self._forget)

    def __repr__(self) -> str:
        return f"<Informer {self._kind.plural} objects={len(self._objects)}>"

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: Name) -> Object | None:
        return self._objects.get(name)

    def all(self) -> Collection[Object]:
        return self._objects.values()

    def of_attempt(self, attempt: str) -> Sequence[Object]:
        """Return what carries the attempt's label."""
        return list(self._by_attempt.get(attempt, {}).values())

    def deleted_of_attempt(self, attempt: str) -> Sequence[Object]:
        """Return the attempt's objects that were deleted, as long as somebody waits for it."""
        return list(self._deleted.get(attempt, {}).values())

    def notified(
        self, attempt: str, event: asyncio.Event | None = None
    ) -> AbstractContextManager[asyncio.Event]:
        """
        Set the event at each change to the attempt's objects; whoever waits for it clears it.

        An event handed in may be woken by several informers.
        """
        return self._wakers.notified(attempt, event)

    def replace(self, items: Sequence[Object]) -> None:
        self._objects = {}
        self._by_attempt = {}
        for item in items:
            self._store(item)
        self._wakers.wake_all()

    def apply(self, change: Change) -> None:
        name = name_of(change.object)
        was = self._objects.get(name)
        if was is not None:
            self._drop(name, was)
        if change.kind is not ChangeKind.DELETED:
            self._store(change.object)
        elif (attempt := attempt_of(change.object)) in self._wakers:
            deleted = self._deleted.setdefault(attempt, {})
            deleted[name] = change.object
            while len(deleted) > limits.DELETED_OF_ATTEMPT:
                del deleted[next(iter(deleted))]
        self._wakers.wake({attempt_of(obj) for obj in (was, change.object) if obj is not None})

    def _forget(self, attempt: str) -> None:
        self._deleted.pop(attempt, None)

    def _store(self, item: Object) -> None:
        name = name_of(item)
        self._objects[name] = item
        attempt = attempt_of(item)
        if attempt:
            self._by_attempt.setdefault(attempt, {})[name] = item

    def _drop(self, name: Name, item: Object) -> None:
        del self._objects[name]
        attempt = attempt_of(item)
        siblings = self._by_attempt.get(attempt)
        if siblings is not None:
            siblings.pop(name, None)
            if not siblings:
                del self._by_attempt[attempt]


def attempt_of(item: Object) -> str:
    """Return the AttemptId, as text, that the object is labelled with; "" if it is not."""
    return str((item["metadata"].get("labels") or {}).get(ATTEMPT_LABEL, ""))
