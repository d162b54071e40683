"""Tests of the store clock: replicas and operator commands follow the database."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import TextClause, text

from controlplane.cli import operators
from controlplane.cli.operations import CommandContext
from controlplane.store.clock import StoreClock
from shared.kit.clock import SystemClock
from tests.factories import ORG
from tests.integration.store.conftest import Store

HOUR = timedelta(hours=1)


def _hour_ago() -> TextClause:
    return text("SELECT clock_timestamp() - interval '1 hour' AS now")


def machine_is_ahead(patch: pytest.MonkeyPatch, by: timedelta) -> None:
    wrong = datetime.now(UTC) + by  # noqa: TID251
    patch.setattr(SystemClock, "now", lambda _: wrong)


async def test_clock_of_a_replica_follows_the_database_if_its_own_is_wrong(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, clock = SystemClock().now(), StoreClock(store.database)
    machine_is_ahead(monkeypatch, HOUR)
    assert clock.now() - right > HOUR / 2
    await clock.set()
    assert timedelta(0) <= clock.now() - right < HOUR / 2
    machine_is_ahead(monkeypatch, -HOUR)
    assert timedelta(0) <= clock.now() - right < HOUR / 2


async def test_clock_follows_a_database_clock_that_was_set_and_logs_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = StoreClock(store.database)
    with monkeypatch.context() as patch:
        patch.setattr("controlplane.store.clock._NOW", _hour_ago())
        await clock.set()
        await clock.set()
    assert not caplog.records
    await clock.set()
    assert SystemClock().now() - clock.now() < HOUR / 2
    [logged] = caplog.records
    assert logged.getMessage() == "database clock jumped"


async def test_clock_advances_between_samples(store: Store) -> None:
    clock = StoreClock(store.database)
    await clock.set()
    seen = [clock.now() for _ in range(20)]
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_clock_of_an_operator_command_follows_the_database(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sample(operator: operators.Operator) -> datetime:
        return operator.clock.now()

    context = CommandContext(data_directory=None, database_url=store.url, org=ORG, json=False)
    right = SystemClock().now()
    machine_is_ahead(monkeypatch, HOUR)
    assert timedelta(0) <= operators.run(context, sample) - right < HOUR / 2
