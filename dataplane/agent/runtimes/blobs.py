"""Opens the blob store of an assignment, and retries its operations."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import tenacity

from shared.blobs.errors import BlobOutsideError, BlobStoreError
from shared.blobs.options import S3Options
from shared.blobs.store import BlobStore, open_store
from shared.kit.backoff import Backoff
from shared.kit.cache import LruCache
from shared.kit.clock import Clock
from shared.model.assignments import Assignment

_STORES_OPEN = 64
_BACKOFF = Backoff(first=timedelta(milliseconds=200), at_most=timedelta(seconds=10))
_T = TypeVar("_T")


class Stores:
    """Cache of open blob stores by base URI; evicts the least recently used above 64."""

    def __init__(self, clock: Clock, options: S3Options | None = None) -> None:
        self._clock = clock
        self._options = options
        self._open: LruCache[str, BlobStore] = LruCache(_STORES_OPEN)

    def of(self, assignment: Assignment) -> BlobStore:
        """Return the org's store, whose base contains the run's; BlobOutsideError if unusable."""
        run = assignment.key.run
        suffix = f"/{assignment.org}/{run.project}/{run.domain}/{run.name}"
        base = assignment.run_base.rstrip("/").removesuffix(suffix)
        store = self._open.get(base)
        if store is None:
            try:
                store = self._open[base] = open_store(base, self._options)
            except ValueError as error:
                raise BlobOutsideError(
                    base, f"is not a store that this agent can open: {error}"
                ) from error
        return store

    async def with_retries(self, attempt: Callable[[], Awaitable[_T]], at_most: timedelta) -> _T:
        """Retry with back-off until the store answers; its last BlobStoreError after ``at_most``."""
        async for trial in self._trials(at_most):
            with trial:
                return await attempt()
        raise AssertionError("tenacity ended without a result or an error")

    def _trials(self, at_most: timedelta) -> AsyncIterator[tenacity.AttemptManager]:
        async def sleep(seconds: float) -> None:
            await self._clock.sleep(timedelta(seconds=seconds))

        return aiter(
            tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(BlobStoreError),
                wait=_BACKOFF.wait,
                stop=tenacity.stop_after_delay(at_most.total_seconds()),
                sleep=sleep,
                reraise=True,
            )
        )
