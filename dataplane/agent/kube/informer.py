"""
Informer: a cache of the cluster's objects of one kind, indexed by name and by attempt.

It holds what the API server sent last: it may be stale but is never invented. Nothing leaves
the cache because a list or watch failed.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from dataplane.agent.kube import client_limits
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
        lasting: timedelta = client_limits.WATCH_LASTS,
    ) -> None:
        super().__init__(
            kube, kind, namespace=namespace, labels=labels, clock=clock, lasting=lasting
        )
        self._objects: dict[Name, Object] = {}
        self._by_attempt: dict[str, dict[Name, Object]] = {}
        # Last state of deleted objects of attempts with a waiter: it tells how they ended.
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
        """Return the objects that carry the attempt's label."""
        return list(self._by_attempt.get(attempt, {}).values())

    def deleted_of_attempt(self, attempt: str) -> Sequence[Object]:
        """Return the attempt's deleted objects, which are kept while it has a waiter."""
        return list(self._deleted.get(attempt, {}).values())

    def notified(
        self, attempt: str, event: asyncio.Event | None = None
    ) -> AbstractContextManager[asyncio.Event]:
        """
        Set the event at each change to the attempt's objects; the waiter clears it.

        An event passed in may be set by several informers.
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
            while len(deleted) > client_limits.DELETED_OF_ATTEMPT:
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
    """Return the AttemptId in the object's label, as text; "" if it has none."""
    return str((item["metadata"].get("labels") or {}).get(ATTEMPT_LABEL, ""))
