"""Tests of the informer: its cache follows the cluster through failures of the connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import BusyError, NotFoundError
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import ATTEMPT_LABEL, CONFIG_MAP, Kind, Name, Object
from shared.kit.clock import SystemClock
from tests.kube.controlplane import KubeForTests

MINE = "mine=yes"


def make_map(place: str, name: str, attempt: str = "", **data: str) -> dict[str, Any]:
    labels = {"mine": "yes"} | ({ATTEMPT_LABEL: attempt} if attempt else {})
    return {"metadata": {"name": name, "namespace": place, "labels": labels}, "data": data}


@pytest.fixture
async def informer(kube: Kube, place: str) -> AsyncIterator[Informer]:
    made = Informer(
        kube,
        CONFIG_MAP,
        namespace=place,
        labels=MINE,
        clock=SystemClock(),
        lasting=timedelta(seconds=1),
    )
    async with running(made):
        await made.synced()
        yield made


@asynccontextmanager
async def running(informer: Informer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(informer.run())
        yield
        task.cancel()


async def becomes(
    informer: Informer, attempt: str, fact: Callable[[list[Object]], bool]
) -> list[Object]:
    """Wait as a runtime does: read the full state at each wakeup."""
    async with asyncio.timeout(40):
        with informer.notified(attempt) as event:
            while not fact(objects := list(informer.of_attempt(attempt))):
                await event.wait()
                event.clear()
    return objects


async def test_informer_follows_creates_and_deletes(kube: Kube, place: str) -> None:
    await kube.create(CONFIG_MAP, make_map(place, "old", "one"))
    await kube.create(CONFIG_MAP, {"metadata": {"name": "strange", "namespace": place}})
    informer = Informer(kube, CONFIG_MAP, namespace=place, labels=MINE, clock=SystemClock())
    async with running(informer):
        await informer.synced()
        assert [obj["metadata"]["name"] for obj in informer.all()] == ["old"]

        await kube.create(CONFIG_MAP, make_map(place, "new", "one"))
        await becomes(informer, "one", lambda found: len(found) == 2)
        await kube.patch(CONFIG_MAP, Name(place, "new"), {"data": {"a": "b"}})
        await becomes(informer, "one", lambda found: any("data" in obj for obj in found))
        await kube.delete(CONFIG_MAP, Name(place, "old"))
        (left,) = await becomes(informer, "one", lambda found: len(found) == 1)

        assert informer.get(Name(place, "new")) is left
        assert "managedFields" not in left["metadata"]
        assert left["kind"] == "ConfigMap"
        assert informer.of_attempt("two") == []


async def test_informer_wakes_only_waiters_of_the_attempt(
    kube: Kube, place: str, informer: Informer
) -> None:
    with informer.notified("one") as one, informer.notified("two") as two:
        await kube.create(CONFIG_MAP, make_map(place, "a", "one"))
        await one.wait()
        assert not two.is_set()

        one.clear()
        await kube.patch(
            CONFIG_MAP, Name(place, "a"), {"metadata": {"labels": {ATTEMPT_LABEL: "two"}}}
        )
        await asyncio.gather(one.wait(), two.wait())
    assert informer.of_attempt("one") == []
    assert len(informer.of_attempt("two")) == 1


async def test_event_may_be_set_by_several_informers(
    kube: Kube, place: str, informer: Informer
) -> None:
    event = asyncio.Event()
    other = Informer(kube, CONFIG_MAP, namespace=place, clock=SystemClock())
    with informer.notified("one", event), other.notified("one", event):
        await kube.create(CONFIG_MAP, make_map(place, "a", "one"))
        await event.wait()


async def test_informer_relists_after_expired_version(
    kube: Kube,
    place: str,
    informer: Informer,
    kube_api: KubeForTests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As for an agent that was disconnected for long: its resource version is compacted."""
    await kube.create(CONFIG_MAP, make_map(place, "stays", "one"))
    await kube.create(CONFIG_MAP, make_map(place, "goes", "one"))
    await becomes(informer, "one", lambda found: len(found) == 2)
    asked = informer._kube
    watch = asked.watch
    back_then = (await kube.list(CONFIG_MAP, namespace=place)).resource_version
    monkeypatch.setattr(asked, "watch", lambda *a, **b: watch(*a, **{**b, "since": back_then}))

    await kube.delete(CONFIG_MAP, Name(place, "goes"))
    await kube.create(CONFIG_MAP, make_map(place, "comes", "one"))
    await asyncio.to_thread(kube_api.forget_the_past)

    await becomes(
        informer,
        "one",
        lambda found: {obj["metadata"]["name"] for obj in found} == {"stays", "comes"},
    )
    async with asyncio.timeout(60):
        while informer.counts.lists < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len(informer) == 2


async def test_informer_catches_up_with_restarted_server(
    kube: Kube, place: str, informer: Informer, kube_api: KubeForTests
) -> None:
    await kube.create(CONFIG_MAP, make_map(place, "a", "one"))
    await becomes(informer, "one", lambda found: len(found) == 1)

    await asyncio.to_thread(kube_api.restart_api_server)
    assert len(informer) == 1  # the cache stays while the server does not answer
    await kube.create(CONFIG_MAP, make_map(place, "b", "one"))

    await becomes(informer, "one", lambda found: len(found) == 2)
    assert informer.problem is None


async def test_informer_leaves_silent_connection(
    kube: Kube,
    place: str,
    informer: Informer,
    kube_api: KubeForTests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_limits, "WATCH_MARGIN", timedelta(seconds=1))
    monkeypatch.setattr(client_limits, "CONNECT_TIMEOUT", timedelta(seconds=1))
    failures = informer.counts.failures
    with kube_api.api_server.held_up():
        async with asyncio.timeout(60):  # the watch under way had another margin
            while informer.counts.failures < failures + 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert informer.problem is not None
    await kube.create(CONFIG_MAP, make_map(place, "a", "one"))
    await becomes(informer, "one", lambda found: len(found) == 1)


async def test_informer_loses_no_change_between_watches(
    kube: Kube, place: str, informer: Informer
) -> None:
    """Watches that last a second, with writes all the time."""
    for number in range(60):
        await kube.create(CONFIG_MAP, make_map(place, f"m{number}", "one"))
        if number % 2:
            await kube.delete(CONFIG_MAP, Name(place, f"m{number - 1}"))
        await asyncio.sleep(0.04)

    await becomes(informer, "one", lambda found: len(found) == 30)
    assert informer.counts.watches > 2
    assert informer.counts.lists == 1


async def test_informer_honours_retry_after(
    kube: Kube, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kube.create(CONFIG_MAP, make_map(place, "a", "one"))
    ask, refused_at = kube._transport.request_json, list[float]()
    loop = asyncio.get_running_loop()

    async def refuse_at_first(*args: Any, **rest: Any) -> dict[str, Any]:
        if len(refused_at) < 2:
            refused_at.append(loop.time())
            raise BusyError(429, "TooManyRequests", "not now", timedelta(seconds=1))
        return await ask(*args, **rest)

    monkeypatch.setattr(kube._transport, "request_json", refuse_at_first)
    informer = Informer(kube, CONFIG_MAP, namespace=place, clock=SystemClock())
    async with running(informer):
        async with asyncio.timeout(60):
            await informer.synced()
    assert refused_at[1] - refused_at[0] >= 1
    assert len(informer.of_attempt("one")) == 1


async def test_informer_waits_for_missing_kind(kube: Kube) -> None:
    informer = Informer(kube, Kind("example.test", "v1", "things", "Thing"), clock=SystemClock())
    async with running(informer):
        async with asyncio.timeout(60):
            while informer.counts.failures < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert isinstance(informer.problem, NotFoundError)
