"""Tests of the events informer: found by attempt, bounded, freed with the last waiter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.events import Events
from dataplane.agent.kube.objects import EVENT, name_attempt
from shared.kit.clock import SystemClock
from tests.unit.agent.assignments import make_assignment

ONE, TWO = make_assignment(1), make_assignment(2)


def make_event(place: str, about: str, number: int, **rest: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": place, "name": f"{about}.{number:03}"},
        "involvedObject": {"kind": "Pod", "namespace": place, "name": about},
        "reason": f"Reason{number}",
        "message": "something happened",
        "type": "Normal",
        "lastTimestamp": f"2026-06-01T12:00:{number % 60:02}Z",
        **rest,
    }


@asynccontextmanager
async def running(events: Events) -> AsyncIterator[Events]:
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(events.run())
        await events.synced()
        yield events
        task.cancel()


@pytest.fixture
async def events(kube: Kube, place: str) -> AsyncIterator[Events]:
    async with running(Events(kube, namespace=place, clock=SystemClock())) as made:
        yield made


async def test_events_are_found_by_attempt_in_order(kube: Kube, place: str, events: Events) -> None:
    pod = name_attempt(ONE, place).name
    attempt = str(ONE.attempt)
    with events.notified(attempt) as event:
        for about, number in ((f"{pod}-worker-0", 2), ("stranger", 3), (pod, 1)):
            await kube.create(EVENT, make_event(place, about, number))
        while len(events.of_attempt(attempt)) < 2:
            await event.wait()
            event.clear()
        found = events.of_attempt(attempt)

    assert [item["reason"] for item in found] == ["Reason1", "Reason2"]
    assert events.of_attempt(str(TWO.attempt)) == []
    assert len(events._by_mark) == 0  # freed with the last waiter


async def test_events_before_first_waiter_are_kept(kube: Kube, place: str) -> None:
    await kube.create(EVENT, make_event(place, name_attempt(ONE, place).name, 1))
    async with running(Events(kube, namespace=place, clock=SystemClock())) as events:
        with events.notified(str(ONE.attempt)):
            assert [item["reason"] for item in events.of_attempt(str(ONE.attempt))] == ["Reason1"]


async def test_events_per_attempt_are_bounded_to_the_latest(
    kube: Kube, place: str, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_limits, "EVENTS_OF_ATTEMPT", 3)
    pod, attempt = name_attempt(ONE, place).name, str(ONE.attempt)
    with events.notified(attempt) as event:
        for number in range(6):
            await kube.create(EVENT, make_event(place, pod, number))
        while not (found := events.of_attempt(attempt)) or found[-1]["reason"] != "Reason5":
            await event.wait()
            event.clear()
        assert [item["reason"] for item in found] == ["Reason3", "Reason4", "Reason5"]


async def test_events_of_attempts_without_waiters_are_bounded(
    kube: Kube, place: str, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events._by_mark, "_size", 2)
    waited_for = str(ONE.attempt)
    with events.notified(waited_for), events.notified(str(make_assignment(9).attempt)) as last:
        for number in (1, 2, 3, 4, 9):
            pod = name_attempt(make_assignment(number), place).name
            await kube.create(EVENT, make_event(place, pod, number))
        await last.wait()
        assert len(events._by_mark) == 2
        assert len(events.of_attempt(waited_for)) == 1
