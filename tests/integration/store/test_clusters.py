"""Tests of cluster operations: status, cordon, drain, move; a drained cluster is empty."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from controlplane.core.callers import Caller
from controlplane.core.clusters import ClusterStatus, Standing
from controlplane.core.errors import ConflictError, InvalidError, NotAllowedError, NotFoundError
from controlplane.store.resources.clusters import save_cluster
from controlplane.usecases.clusters import Clusters, Draining
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from shared.model.reports import AckStatus, FailureKind
from tests.factories import NOW, ORG, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.operations import OPERATOR, Operations


class WatchClock(FakeClock):
    """A fake clock that runs a prepared step at each sleep."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []

    async def sleep(self, delay: timedelta) -> None:
        await super().sleep(delay)
        if self.meanwhile:
            await self.meanwhile.pop(0)()


@pytest.fixture
def clock() -> WatchClock:
    return WatchClock()


@pytest.fixture
async def operations(store: Store, clock: WatchClock) -> AsyncIterator[Operations]:
    async with Operations.on(store, clock) as operations:
        yield operations


async def list_updates(watch: AsyncIterator[Draining]) -> list[Draining]:
    return [found async for found in watch]


async def test_cluster_status_shows_agent_session_and_load(operations: Operations) -> None:
    agent = await operations.connect()
    await operations.store.create(make_new_run())
    await agent.take()
    await agent.say(held=1, running=0, slots=3)

    [status], _ = await operations.clusters.list(OPERATOR)
    assert (status.name, status.standing, status.epoch) == (CLUSTER, Standing.READY, 1)
    assert (status.agent.software, status.agent.protocol) == ("test 1.0", 1)
    assert status.agent.capabilities == ["python"]
    assert (status.leased, status.unaccepted) == (1, 1)
    assert (status.load.held, status.load.running, status.load.slots) == (1, 0, 3)
    assert status.load.counted_at == status.seen_at == NOW


async def test_cluster_load_is_unknown_in_a_new_session(operations: Operations) -> None:
    agent = await operations.connect()
    await agent.say(held=0, running=0)
    await agent.sessions.open(agent.session.cluster, (await get(operations)).agent)
    assert (await get(operations)).load.counted_at is None


async def get(operations: Operations) -> ClusterStatus:
    return await operations.clusters.get(OPERATOR, CLUSTER)


async def test_cordoned_cluster_keeps_its_leases_and_gets_no_more(
    operations: Operations,
) -> None:
    agent, store = await operations.connect(), operations.store
    await store.create(make_new_run("r1"))
    [lease_record] = await agent.take()
    async with store.listening() as received:
        status = await operations.clusters.cordon(OPERATOR, CLUSTER)
        assert list((await received.get()).stops) == [CLUSTER]  # its session is notified at once
    assert (status.standing, status.spec_version) == (Standing.CORDONED, 1)

    await store.create(make_new_run("r2"))
    assert await agent.take() == []
    await agent.accept(lease_record)
    assert await store.report(make_report(lease_record, 1, Phase.SUCCEEDED)) == [AckStatus.APPLIED]

    await operations.clusters.cordon(OPERATOR, CLUSTER)  # again: no change
    status = await operations.clusters.uncordon(OPERATOR, CLUSTER)
    assert (status.standing, status.spec_version) == (Standing.READY, 2)
    assert [each.key.run.name for each in await agent.take()] == ["r2"]


async def test_drain_returns_unaccepted_leases_and_lists_the_remaining(
    operations: Operations,
) -> None:
    agent, store = await operations.connect(), operations.store
    await store.create(make_new_run())
    await store.enqueue(make_new_action("n1"), make_new_action("n2"))
    lease_record = {str(each.key.name): each for each in await agent.take()}
    await agent.accept(lease_record["a0"], lease_record["n1"])
    other = ClusterName("c2")
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, other, b"other", NOW)

    found = await operations.clusters.drain(OPERATOR, CLUSTER)
    assert found.returned == 1
    assert [(each.action.name, each.number, each.leased_at) for each in found.remaining] == [
        ("a0", 1, NOW),
        ("n1", 1, NOW),
    ]
    elsewhere = await operations.connect(other)
    assert [each.key.name for each in await elsewhere.take()] == ["n2"]
    assert await agent.take() == []

    # The agent accepts too late the lease that was returned: it may not start the attempt.
    accepted = [(lease_record["n2"].attempt, lease_record["n2"].lease)]
    acknowledged = await agent.sessions.commit_reports(agent.session, accepted, [])
    assert (acknowledged.accepted.confirmed, list(acknowledged.accepted.not_leased)) == (
        [],
        accepted,
    )


async def test_drain_ends_when_store_ledger_and_runtimes_report_zero(
    operations: Operations, clock: WatchClock
) -> None:
    agent, store = await operations.connect(), operations.store
    await store.create(make_new_run())
    [lease_record] = await agent.take()
    await agent.accept(lease_record)
    await agent.say(held=1, running=1)
    await operations.clusters.drain(OPERATOR, CLUSTER)

    async def end() -> None:
        await store.report(make_report(lease_record, 1, Phase.SUCCEEDED))

    async def clean_up() -> None:
        await agent.say(held=0, running=1)

    async def be_empty() -> None:
        await agent.say(held=0, running=0)

    clock.meanwhile = [end, clean_up, be_empty]
    found = await list_updates(operations.clusters.watch_drain(OPERATOR, CLUSTER, deadline=None))
    assert [(each.status.leased, each.status.load.running) for each in found] == [
        (1, 1),
        (0, 1),
        (0, 1),
        (0, 0),
    ]
    assert [each.attestation is not None for each in found] == [False, False, False, True]
    attestation = found[-1].attestation
    assert attestation is not None
    assert (attestation.epoch, attestation.draining_since) == (1, NOW)
    assert attestation.counted_at == clock.now() == attestation.attested_at


async def test_drain_does_not_end_while_the_agent_is_disconnected(operations: Operations) -> None:
    agent = await operations.connect()
    await operations.clusters.drain(OPERATOR, CLUSTER)
    await agent.sessions.close(agent.session)
    found = await list_updates(
        operations.clusters.watch_drain(OPERATOR, CLUSTER, deadline=timedelta(seconds=10))
    )
    assert found[-1].attestation is None
    assert not found[-1].status.connected


async def test_drain_deadline_stops_the_remaining_attempts_and_requeues_them(
    operations: Operations, clock: WatchClock
) -> None:
    agent, store = await operations.connect(), operations.store
    run = await store.create(make_new_run(retries=0))
    [lease_record] = await agent.take()
    await agent.accept(lease_record)
    await agent.say(held=1, running=1)
    await operations.clusters.drain(OPERATOR, CLUSTER)
    watch = operations.clusters.watch_drain(
        OPERATOR, CLUSTER, deadline=timedelta(seconds=2), stop_rest=True
    )
    stopped: list[Draining] = []
    async for found in watch:
        stopped.append(found)
        if found.stopped:
            stops = (await agent.sessions.hand_out(agent.session, 0, agent.scheduler)).stops
            assert [each.lease for each in stops] == [lease_record.lease]
            aborted = make_report(lease_record, 1, Phase.ABORTED)
            assert await store.report(aborted) == [AckStatus.APPLIED]
            clock.advance(timedelta(seconds=5))
            await agent.say(held=0, running=0)

            async def be_empty() -> None:
                await agent.say(held=0, running=0)

            clock.meanwhile = [be_empty, be_empty]
    assert [each.stopped for each in stopped if each.stopped] == [1]
    assert stopped[-1].attestation is not None

    detail = await store.detail(run)
    assert (detail.row.phase, detail.row.attempts) == (Phase.QUEUED, 2)
    failure = detail.attempts[0].failure
    assert failure is not None
    assert (failure.code, failure.kind) == ("Preempted", FailureKind.PREEMPTION)
    assert await agent.take() == []
    await operations.clusters.uncordon(OPERATOR, CLUSTER)
    [again] = await agent.take()
    assert again.attempt.number == 2
    assert (await agent.sessions.hand_out(agent.session, 0, agent.scheduler)).stops == []


async def test_drained_attempt_that_succeeds_while_it_is_stopped_has_succeeded(
    operations: Operations,
) -> None:
    agent, store = await operations.connect(), operations.store
    run = await store.create(make_new_run())
    [lease_record] = await agent.take()
    await agent.accept(lease_record)
    await operations.clusters.drain(OPERATOR, CLUSTER)
    await operations.clusters.stop_rest(OPERATOR, CLUSTER)
    await store.report(make_report(lease_record, 1, Phase.SUCCEEDED))
    assert await store.phase(run) is Phase.SUCCEEDED


async def test_cluster_moved_to_another_pool_serves_that_pool(operations: Operations) -> None:
    agent, store = await operations.connect(), operations.store
    await store.create(make_new_run())
    assert (await operations.clusters.move(OPERATOR, CLUSTER, "gpus")).pool == "gpus"
    assert await agent.take() == []
    await operations.clusters.move(OPERATOR, CLUSTER, "")
    assert len(await agent.take()) == 1


async def test_unknown_cluster_is_refused_with_the_known_names(
    operations: Operations,
) -> None:
    for request in (operations.clusters.get, operations.clusters.cordon, operations.clusters.drain):
        with pytest.raises(NotFoundError, match="cluster x not found; there is c1"):
            await request(OPERATOR, ClusterName("x"))


async def test_drain_watch_and_stop_are_refused_without_a_drain(
    operations: Operations,
) -> None:
    with pytest.raises(ConflictError, match="volary cluster drain"):
        await list_updates(operations.clusters.watch_drain(OPERATOR, CLUSTER, deadline=None))
    with pytest.raises(ConflictError):
        await operations.clusters.stop_rest(OPERATOR, CLUSTER)


async def test_pool_name_is_validated(operations: Operations) -> None:
    with pytest.raises(InvalidError, match="pool name"):
        await operations.clusters.move(OPERATOR, CLUSTER, "No Pool")


async def test_cluster_operations_need_permission(operations: Operations) -> None:
    stranger = Caller(subject=OPERATOR.subject, org=ORG, name="")
    clusters: Clusters = operations.clusters
    for request in (clusters.get, clusters.cordon, clusters.uncordon, clusters.drain):
        with pytest.raises(NotAllowedError):
            await request(stranger, CLUSTER)
