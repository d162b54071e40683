"""Cache of task and run specs by digest, parsed once for the many attempts that share them."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.runtimes.tasks import RunSettings, Task, parse_run_settings, parse_task
from shared.kit.cache import LruCache
from shared.model.ids import Digest

SPECS_PARSED = 512

_T = TypeVar("_T")


class SpecMissingError(Exception):
    """The control plane named a spec that it never sent."""


class Specs:
    def __init__(self, ledger: Ledger) -> None:
        self._tasks = _Parsed(ledger, parse_task)
        self._run_settings = _Parsed(ledger, parse_run_settings)

    async def task(self, digest: Digest) -> Task:
        return await self._tasks.get(digest)

    async def run_settings(self, digest: Digest) -> RunSettings:
        return await self._run_settings.get(digest)


class _Parsed(Generic[_T]):
    def __init__(self, ledger: Ledger, parse: Callable[[bytes], _T]) -> None:
        self._ledger = ledger
        self._parse = parse
        self._by_digest: LruCache[Digest, _T] = LruCache(SPECS_PARSED)
        self._reading: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    async def get(self, digest: Digest) -> _T:
        if digest not in self._by_digest:
            # A restarted agent asks for it two thousand times at once; the lock has it read once.
            reading = self._reading.setdefault(digest, asyncio.Lock())
            async with reading:
                if digest not in self._by_digest:
                    await self._read(digest)
        return self._by_digest[digest]

    async def _read(self, digest: Digest) -> None:
        body = await self._ledger.spec(digest)
        if body is None:
            raise SpecMissingError(f"the control plane did not send the spec {digest.hex()}")
        self._by_digest[digest] = self._parse(body)
