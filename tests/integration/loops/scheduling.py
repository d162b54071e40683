"""A scheduler on the API under test, and what the tests read of its work."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from controlplane.api.convert.triggers import build_run
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.loops.triggers import TriggerScheduler
from controlplane.store.dispatch.claim import claim
from shared.kit.clock import SystemClock
from shared.kit.wakeup import Wakeup
from shared.model.assignments import Assignment
from tests.fakes.clock import FakeClock
from tests.integration.api.client import CLUSTER, ORG, ApiUnderTest, open_api

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    async with open_api(database_url, tmp_path / "blobs") as api:
        yield api


class SetClock(FakeClock):
    """A clock that a test sets."""

    @property
    def time(self) -> datetime:
        return self.now()

    @time.setter
    def time(self, at: datetime) -> None:
        self.advance(at - self.now())


@pytest.fixture
def clock() -> SetClock:
    """A clock that begins after everything that a test deploys."""
    return SetClock(next_minute())


def next_minute() -> datetime:
    """Return the beginning of the next minute; cron's next instant after now."""
    return SystemClock().now().replace(second=0, microsecond=0) + MINUTE


def _never_woken(_: Wakeup) -> AbstractContextManager[None]:
    return nullcontext()


def make(api: ApiUnderTest, clock: SetClock, build: object = None) -> TriggerScheduler:
    return TriggerScheduler(
        api.database,
        _never_woken,
        clock,
        build=build or partial(build_run, base=api.blobs.base),  # type: ignore[arg-type]
        every=timedelta(seconds=1),
    )


async def rows(api: ApiUnderTest, query: str) -> Sequence[tuple[object, ...]]:
    async with api.database.for_org(ORG) as tx:
        return [tuple(row) for row in await tx.rows(text(query))]


async def instants(api: ApiUnderTest) -> Counter[tuple[object, ...]]:
    """Count the runs of each trigger and instant."""
    return Counter(await rows(api, "SELECT trigger_task, trigger_name, started_at FROM runs"))


async def first_instant(api: ApiUnderTest) -> datetime:
    [(at,)] = await rows(api, "SELECT min(fire_at) FROM triggers")
    assert isinstance(at, datetime)
    return at


async def claim_all(api: ApiUnderTest, now: datetime) -> Sequence[Assignment]:
    async with api.database.for_org(ORG) as tx:
        found = await claim(tx, CLUSTER, "", scheduler=FairScheduler(), most=100, now=now)
        return found.assignments


async def state(api: ApiUnderTest) -> tuple[object, ...]:
    """Return how far the only trigger has come: skipped instants, and the last error."""
    [found] = await rows(api, "SELECT skipped, error FROM triggers")
    return found
