"""One agent leads at a time; another takes over in seconds, however the first one ended."""

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


class Candidate:
    """An agent that does nothing but lead, and notes when."""

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
    """Two clients with connections of their own."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Kube.open(kube_api.kubeconfig())) for _ in range(2)]


async def holder(kube: Kube, place: str) -> str:
    lease = await kube.get(LEASE, Name(place, "agent"))
    return str(lease["spec"]["holderIdentity"])


async def holders(kube: Kube, place: str) -> AsyncGenerator[str]:
    """Give the Lease's holder at each change from now on, "" when nobody holds it."""
    lease = await kube.get(LEASE, Name(place, "agent"))
    version = lease["metadata"]["resourceVersion"]
    async with aclosing(kube.watch(LEASE, namespace=place, since=version)) as changes:
        async for change in changes:
            if change.kind is not ChangeKind.BOOKMARK:
                yield str(change.object["spec"].get("holderIdentity", ""))


async def test_one_leads_and_the_other_waits(kubes: list[Kube], place: str) -> None:
    first, second = Candidate(kubes[0], place, "first"), Candidate(kubes[1], place, "second")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(candidate.run()) for candidate in (first, second)]
        done, _ = await asyncio.wait(
            [tasks.create_task(each.leading.wait()) for each in (first, second)],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert len(done) == 1
        leader, other = (first, second) if first.leading.is_set() else (second, first)
        # It is renewed beyond its length, or the other would have it.
        renewals = 0
        async with aclosing(holders(kubes[0], place)) as seen:
            async for name in seen:
                assert name == leader.name
                renewals += 1
                if renewals > SHORT.lease_duration / SHORT.renew_interval + 1:
                    break
            assert leader.election.leads
            assert not other.election.leads

            # Who stops gives it back, or the other would have to wait until it has run out.
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


async def test_who_stops_gives_the_lease_back_although_a_renewal_was_cut_short(
    kubes: list[Kube], place: str
) -> None:
    """The renewal was carried out, and nobody heard of that."""
    lease = Name(place, "agent")
    first = Candidate(kubes[0], place, "first", Terms())
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(first.run())
        await first.leading.wait()
        await kubes[1].patch(LEASE, lease, {"spec": {"renewTime": "2026-06-01T12:00:00.000000Z"}})
        task.cancel()

    assert await holder(kubes[1], place) == ""


async def test_who_is_not_told_why_it_could_not_renew_stops_and_leads_again_later(
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


async def test_who_cannot_renew_stops_before_another_begins(kubes: list[Kube], place: str) -> None:
    """The first one's connection falls silent; the second one's does not."""
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


def test_terms_let_a_standby_lead_within_ten_seconds() -> None:
    terms = Terms()
    assert terms.lease_duration + terms.poll_interval < timedelta(seconds=10)


async def test_standby_takes_over_from_the_dead_after_their_deadline(
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


async def test_who_has_lost_it_waits_and_leads_again(kubes: list[Kube], place: str) -> None:
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


async def test_the_next_container_of_the_same_pod_leads_at_once(
    kubes: list[Kube], place: str
) -> None:
    await Election(kubes[0], Name(place, "agent"), "pod", SystemClock())._acquire()
    again = Candidate(kubes[1], place, "pod")
    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(again.run())
        await again.leading.wait()
        task.cancel()


async def test_a_restarted_api_server_is_survived(
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


async def test_work_that_is_done_ends_the_term(kubes: list[Kube], place: str) -> None:
    async def work() -> None:
        assert await holder(kubes[0], place) == "first"

    await Election(kubes[0], Name(place, "agent"), "first", SystemClock(), SHORT).run(work)

    assert await holder(kubes[1], place) == ""
