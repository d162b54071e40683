"""We test whose time it is at a replica, and for an operator."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.cli import operators
from controlplane.cli.operations import Desk
from controlplane.store.clock import StoreClock
from shared.kit.clock import SystemClock
from tests.factories import ORG
from tests.integration.store.conftest import Store

HOUR = timedelta(hours=1)


def machine_is_ahead(patch: pytest.MonkeyPatch, by: timedelta) -> None:
    wrong = datetime.now(UTC) + by  # noqa: TID251
    patch.setattr(SystemClock, "now", lambda _: wrong)


async def test_a_machine_whose_clock_is_wrong_goes_by_the_databases(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, clock = SystemClock().now(), StoreClock(store.database)
    machine_is_ahead(monkeypatch, HOUR)
    assert clock.now() - right > HOUR / 2
    await clock.set()
    assert timedelta(0) <= clock.now() - right < HOUR / 2
    machine_is_ahead(monkeypatch, -HOUR)
    assert timedelta(0) <= clock.now() - right < HOUR / 2


async def test_it_goes_on_between_two_looks_and_is_not_unsettled_by_them(store: Store) -> None:
    clock = StoreClock(store.database)
    await clock.set()
    seen = []
    for _ in range(20):
        seen.append(clock.now())
        await clock.set()
    assert seen == sorted(seen)


def test_an_operators_command_goes_by_the_databases_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(operator: operators.Operator) -> datetime:
        return operator.clock.now()

    desk = Desk(data_directory=None, database_url=store.url, org=ORG, json=False)
    right = SystemClock().now()
    machine_is_ahead(monkeypatch, HOUR)
    assert timedelta(0) <= operators.run(desk, look) - right < HOUR / 2
