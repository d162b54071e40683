"""Remembers what subjects were granted, for seconds, and forgets it when that changes."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from controlplane.core.callers import Caller, Subject
from shared.kit.cache import LruCache
from shared.kit.clock import Clock
from shared.model.ids import OrgName

REMEMBERED = timedelta(seconds=5)
"""How long a change takes effect at the latest, when its notification was lost."""

_CACHED = 10_000

_Key = tuple[OrgName, Subject]


class ResolveCaller(Protocol):
    async def __call__(self, org: OrgName, subject: Subject) -> Caller:
        """Read a subject's grants; UnauthenticatedError if it is no member of the org any more."""
        ...


class CallerCache:
    """Callers by org and subject; concurrent calls of one subject read its grants once."""

    def __init__(self, resolve: ResolveCaller, clock: Clock) -> None:
        self._resolve = resolve
        self._clock = clock
        self._known: LruCache[_Key, tuple[Caller, datetime]] = LruCache(_CACHED)
        self._reading: dict[_Key, asyncio.Event] = {}
        self._forgotten = 0  # counts calls of forget

    async def find(self, org: OrgName, subject: Subject) -> Caller:
        """Return the caller without a credential; the errors are those of ``ResolveCaller``."""
        key = (org, subject)
        while True:
            known = self._known.get(key)
            if known is not None and self._clock.now() < known[1]:
                return known[0]
            reading = self._reading.get(key)
            if reading is None:
                return await self._read(key)
            await reading.wait()

    def forget(self, org: OrgName | None, subjects: Sequence[Subject] | None) -> None:
        """Read again at the next call: subjects of an org; None: of any org, or any subject."""
        self._forgotten += 1
        if org is None:
            self._known.clear()
        elif subjects is None:
            for key in [key for key in self._known if key[0] == org]:
                del self._known[key]
        else:
            for subject in subjects:
                self._known.pop((org, subject), None)

    async def _read(self, key: _Key) -> Caller:
        self._reading[key] = asyncio.Event()
        forgotten = self._forgotten
        try:
            caller = await self._resolve(*key)
            # What was read before a change is not kept: that change is known already.
            if forgotten == self._forgotten:
                self._known[key] = (caller, self._clock.now() + REMEMBERED)
            return caller
        finally:
            self._reading.pop(key).set()
