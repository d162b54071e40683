"""
Informer of Kubernetes events: keeps the latest events of each attempt.

Events carry no labels, are many, and outlive their objects by an hour. They are assigned to an
attempt by the mark in the name of the involved object; events of other objects are dropped.
Events of an attempt with a waiter are kept until its last waiter leaves; of attempts without
waiters the latest ATTEMPTS_WITH_EVENTS are kept, for later waiters.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.client import Change, ChangeKind, Kube
from dataplane.agent.kube.notifiers import Wakers
from dataplane.agent.kube.objects import (
    EVENT,
    Object,
    find_mark,
    mark_attempt,
    short_mark_of,
)
from dataplane.agent.kube.reflector import Reflector
from shared.kit.cache import LruCache
from shared.kit.clock import Clock


class Events(Reflector):
    """An informer of events."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str = "",
        clock: Clock,
        lasting: timedelta = client_limits.WATCH_LASTS,
    ) -> None:
        super().__init__(kube, EVENT, namespace=namespace, clock=clock, lasting=lasting)
        self._wakers = Wakers(on_unused=self._forget)
        # By mark, then by the event's own name.
        self._by_mark: LruCache[str, LruCache[str, Object]] = LruCache(
            client_limits.ATTEMPTS_WITH_EVENTS, may_evict=lambda mark, _: mark not in self._wakers
        )

    def __repr__(self) -> str:
        return f"<Events attempts={len(self._by_mark)}>"

    def of_attempt(self, attempt: str) -> Sequence[Object]:
        """Return the latest events of the attempt's objects, oldest first."""
        found = [
            event
            for mark in (mark_attempt(attempt), short_mark_of(attempt))
            for event in (self._by_mark.get(mark) or {}).values()
        ]
        return sorted(found, key=happened_at)

    @contextmanager
    def notified(self, attempt: str, event: asyncio.Event | None = None) -> Iterator[asyncio.Event]:
        """As ``Informer.notified``; the attempt's events are dropped after its last waiter."""
        with (
            self._wakers.notified(mark_attempt(attempt), event) as changed,
            self._wakers.notified(short_mark_of(attempt), changed),
        ):
            yield changed

    def replace(self, items: Sequence[Object]) -> None:
        """Add ``items``, and keep known events: one that has expired meanwhile is still true."""
        for item in items:
            self._store(item)
        self._wakers.wake_all()

    def apply(self, change: Change) -> None:
        if change.kind is not ChangeKind.DELETED:
            self._wakers.wake(filter(None, [self._store(change.object)]))
            return
        mark = find_mark(str(change.object["involvedObject"].get("name", "")))
        if mark not in self._wakers:
            self._forget(mark)  # it has expired, and the attempt's other events soon will

    def _store(self, item: Object) -> str:
        """Store the event; return its attempt's mark, "" if it is about no attempt."""
        mark = find_mark(str(item["involvedObject"].get("name", "")))
        if not mark:
            return ""
        events = self._by_mark.get(mark)
        if events is None:
            events = self._by_mark[mark] = LruCache(client_limits.EVENTS_OF_ATTEMPT)
        events[str(item["metadata"]["name"])] = item
        return mark

    def _forget(self, mark: str) -> None:
        self._by_mark.pop(mark, None)


def happened_at(event: Object) -> str:
    """Return the event's latest timestamp, as the API's text, which sorts by time."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )
