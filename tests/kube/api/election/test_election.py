"""Tests of leader election: one leader at a time, and a takeover within seconds."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from itertools import groupby

import pytest

from dataplane.agent.kube.client import ChangeKind, Kube
from dataplane.agent.kube.election import Election, Terms
from dataplane.agent.kube.objects import LEASE, Name
from shared.kit.clock import SystemClock
from tests.kube.controlplane import KubeForTests
from tests.running import until

SHORT = Terms(
    lease_duration=timedelta(seconds=3),
    renew_deadline=timedelta(seconds=1.5),
    renew_interval=timedelta(seconds=0.4),
    poll_interval=timedelta(seconds=0.2),
)

HOURS = Terms(
    lease_duration=timedelta(hours=4),
    renew_deadline=timedelta(hours=3),
    renew_interval=timedelta(hours=2),
    poll_interval=timedelta(hours=1),
)


class Candidate:
    """An agent that only leads, and records when."""

    def __init__(self, kube: Kube, place: str, name: str, terms: Terms = SHORT) -> None:
        self.name = name
        self.election = Election(kube, Name(place, "agent"), name, SystemClock(), terms)
        self.leading = asyncio.Event()
        self.stopped_at: float | None = None
        self.began_at: float | None = None

    async def run(self) -> None:
        await self.election.run(self._work)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        self.began_at = loop.time()
        self.leading.set()
        try:
            await loop.create_future()
        finally:
            self.leading.clear()
            self.stopped_at = loop.time()


@pytest.fixture
async def kubes(kube_api: KubeForTests) -> AsyncIterator[list[Kube]]:
    """Two clients with separate connections."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Kube.open(kube_api.kubeconfig())) for _ in range(2)]


async def holder(kube: Kube, place: str) -> str:
    lease = await kube.get(LEASE, Name(place, "agent"))
    return str(lease["spec"]["holderIdentity"])


async def holders(kube: Kube, place: str) -> AsyncGenerator[str]:
    """Yield the Lease's holder at each change from now on; "" when it is released."""
    lease = await kube.get(LEASE, Name(place, "agent"))
    version = lease["metadata"]["resourceVersion"]
    async with aclosing(kube.watch(LEASE, namespace=place, since=version)) as changes:
        async for change in changes:
            if change.kind is not ChangeKind.BOOKMARK:
                yield str(change.object["spec"].get("holderIdentity", ""))


async def test_leader_is_unique_and_standby_waits(kubes: list[Kube], place: str) -> None:
    first, second = Candidate(kubes[0], place, "first"), Candidate(kubes[1], place, "second")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(candidate.run()) for candidate in (first, second)]
        done, _ = await asyncio.wait(
            [tasks.create_task(each.leading.wait()) for each in (first, second)],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert len(done) == 1
        leader, other = (first, second) if first.leading.is_set() else (second, first)
        # Waits beyond the lease duration: without renewals the standby would have taken it.
        renewals = 0
        async with aclosing(holders(kubes[0], place)) as seen:
            async for name in seen:
                assert name == leader.name
                renewals += 1
                if renewals > SHORT.lease_duration / SHORT.renew_interval + 1:
                    break
            assert leader.election.leads
            assert not other.election.leads

            # The stopped leader releases it, or the standby would wait until it expires.
            running[(first, second).index(leader)].cancel()
            passed = [name async for name in _until(seen, other.name)]
        assert [name for name, _ in groupby(passed) if name != leader.name] == ["", other.name]
        await other.leading.wait()
        assert leader.stopped_at is not None
        assert other.began_at is not None
        assert leader.stopped_at <= other.began_at
        running[(first, second).index(other)].cancel()


async def _until(names: AsyncGenerator[str], last: str) -> AsyncGenerator[str]:
    async for name in names:
        yield name
        if name == last:
            return


async def test_stopped_leader_releases_lease_despite_cancelled_renewal(
    kubes: list[Kube], place: str
) -> None:
    """The renewal was executed, but its answer was lost."""
    lease = Name(place, "agent")
    first = Candidate(kubes[0], place, "first", Terms())
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(first.run())
        await first.leading.wait()
        await kubes[1].patch(LEASE, lease, {"spec": {"renewTime": "2026-06-01T12:00:00.000000Z"}})
        task.cancel()

    assert await holder(kubes[1], place) == ""


async def test_leader_without_answer_to_renewal_stops_and_leads_again(
    kubes: list[Kube], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Candidate(kubes[0], place, "first")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        leading = tasks.create_task(first.run())
        await first.leading.wait()
        with monkeypatch.context() as silent:
            silent.setattr(first.election._kube, "get", lambda *_: asyncio.Event().wait())
            labels = {"metadata": {"labels": {"somebody": "was-here"}}}
            await kubes[1].patch(LEASE, Name(place, "agent"), labels)
            await until(lambda: first.stopped_at is not None)

        await first.leading.wait()
        assert first.election.terms_begun == 2
        leading.cancel()


async def test_leader_that_cannot_renew_stops_before_next_starts(
    kubes: list[Kube], place: str
) -> None:
    """The first one's connection stops answering; the second one's works."""
    first, second = Candidate(kubes[0], place, "first"), Candidate(kubes[1], place, "second")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        leading = tasks.create_task(first.run())
        await first.leading.wait()
        waiting = tasks.create_task(second.run())

        kubes[0]._transport._under_way = asyncio.Semaphore(0)  # its calls wait for ever
        await second.leading.wait()

        assert first.stopped_at is not None
        assert second.began_at is not None
        assert second.began_at - first.stopped_at > 0.5
        assert await holder(kubes[1], place) == "second"
        leading.cancel()
        waiting.cancel()


def test_default_terms_let_standby_lead_within_ten_seconds() -> None:
    terms = Terms()
    assert terms.lease_duration + terms.poll_interval < timedelta(seconds=10)


async def test_standby_takes_over_from_dead_leader_after_its_deadline(
    kubes: list[Kube], place: str
) -> None:
    now = asyncio.get_running_loop().time
    dead = Election(kubes[0], Name(place, "agent"), "dead", SystemClock())
    await dead._acquire()
    died_at = now()
    standby = Candidate(kubes[1], place, "standby", Terms())
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(standby.run())
        await standby.leading.wait()
        assert now() - died_at > Terms().renew_deadline.total_seconds()
        task.cancel()


async def test_leader_that_lost_lease_waits_and_leads_again(kubes: list[Kube], place: str) -> None:
    first = Candidate(kubes[0], place, "first")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(first.run())
        await first.leading.wait()
        taken = {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 1}}
        await kubes[1].patch(LEASE, Name(place, "agent"), taken)
        await until(lambda: not first.leading.is_set())
        await first.leading.wait()
        assert first.election.terms_begun == 2
        assert await holder(kubes[1], place) == "first"
        task.cancel()


async def test_restarted_container_of_leader_pod_leads_at_once(
    kubes: list[Kube], place: str
) -> None:
    await Election(kubes[0], Name(place, "agent"), "pod", SystemClock(), HOURS)._acquire()
    again = Candidate(kubes[1], place, "pod", HOURS)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:  # its old lease lasts for hours
        task = tasks.create_task(again.run())
        await again.leading.wait()
        task.cancel()


async def test_leader_survives_restarted_api_server(
    kubes: list[Kube], place: str, kube_api: KubeForTests
) -> None:
    first = Candidate(kubes[0], place, "first", Terms())
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(first.run())
        await first.leading.wait()
        await asyncio.to_thread(kube_api.restart_api_server)
        await first.leading.wait()
        assert await holder(kubes[1], place) == "first"
        task.cancel()


async def test_leader_stops_when_its_work_is_done(kubes: list[Kube], place: str) -> None:
    async def work() -> None:
        assert await holder(kubes[0], place) == "first"

    await Election(kubes[0], Name(place, "agent"), "first", SystemClock(), SHORT).run(work)

    assert await holder(kubes[1], place) == ""
