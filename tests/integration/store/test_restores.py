"""Tests which leases of an agent a restored database takes over, and which it does not."""

from dataclasses import replace

import asyncpg
import pytest

from controlplane.core.clusters import AgentInfo
from controlplane.core.restores import FindingKind
from controlplane.store.resources.clusters import ClusterRef
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions
from controlplane.usecases.restores import Restores
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.link_messages import InventoryDecision
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store

AGENT = AgentInfo(agent_id="a", instance_id="i", software="s", protocol=1)


def new_lease() -> LeaseId:
    return LeaseId(new_uuid(NOW))


@pytest.fixture
async def session(store: Store, owner_database_url: str) -> tuple[AgentSessions, AgentSessionRef]:
    """A session of the agent of a cluster that was restored and not released."""
    owner = await asyncpg.connect(owner_database_url)
    await owner.execute("UPDATE clusters SET restored_at = now()")
    await owner.close()
    sessions = AgentSessions(store.database, FakeClock(NOW))
    return sessions, await sessions.open(ClusterRef(ORG, CLUSTER), AGENT)


async def findings(store: Store) -> set[tuple[FindingKind, AttemptId]]:
    report = await Restores(store.database, FakeClock(NOW), None).report(ORG)
    return {(each.kind, each.attempt) for each in report.findings}


@pytest.mark.parametrize("number", [1, 3])
async def test_waiting_action_is_adopted_at_the_attempt_that_the_agent_has(
    store: Store, session: tuple[AgentSessions, AgentSessionRef], number: int
) -> None:
    sessions, of = session
    run = await store.create(make_new_run())
    attempt, lease = AttemptId(ActionId(run), number), new_lease()
    for _ in range(2):  # a repeated inventory is decided alike
        decided = await sessions.reconcile_inventory(of, [(attempt, lease)])
        assert decided == [(attempt, lease, InventoryDecision.KEEP)]
    assert await findings(store) == {(FindingKind.ADOPTED, attempt)}
    assert await store.claim() == []  # nothing waits any more


async def test_earlier_attempt_than_the_databases_is_stopped(
    store: Store, session: tuple[AgentSessions, AgentSessionRef]
) -> None:
    sessions, of = session
    run = ActionId(await store.create(make_new_run()))
    late, early = (AttemptId(run, 2), new_lease()), (AttemptId(run, 1), new_lease())
    decided = await sessions.reconcile_inventory(of, [early, late])
    assert [decision for *_, decision in decided] == [
        InventoryDecision.FORGET,
        InventoryDecision.KEEP,
    ]
    assert await findings(store) == {
        (FindingKind.STOPPED, early[0]),
        (FindingKind.ADOPTED, late[0]),
    }


async def test_accepted_lease_is_not_replaced_by_another_of_the_same_attempt(
    store: Store, session: tuple[AgentSessions, AgentSessionRef]
) -> None:
    sessions, of = session
    await store.create(make_new_run())
    [leased] = await store.claim()
    await sessions.commit_reports(of, [(leased.attempt, leased.lease)], [])
    decided = await sessions.reconcile_inventory(of, [(leased.attempt, new_lease())])
    assert [decision for *_, decision in decided] == [InventoryDecision.FORGET]
    assert (FindingKind.MISSING, leased.attempt) in await findings(store)


async def test_unknown_and_ended_actions_are_stopped(
    store: Store, session: tuple[AgentSessions, AgentSessionRef]
) -> None:
    sessions, of = session
    ended = await store.create(make_new_run())
    await store.abort(ended)
    held = [(AttemptId(ActionId(each), 1), new_lease()) for each in (ended, new_uuid(NOW))]
    decided = await sessions.reconcile_inventory(of, held)
    assert {decision for *_, decision in decided} == {InventoryDecision.FORGET}
    assert await findings(store) == {(FindingKind.STOPPED, attempt) for attempt, _ in held}
    assert await store.phase(ended) is Phase.ABORTED


async def test_agent_that_has_seen_a_later_epoch_is_logged_as_a_sign_of_an_older_database(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = AgentSessions(store.database, FakeClock(NOW))
    first = await sessions.open(ClusterRef(ORG, CLUSTER), AGENT)
    await sessions.open(ClusterRef(ORG, CLUSTER), replace(AGENT, last_epoch=first.epoch))
    assert "older than its agent" not in caplog.text
    await sessions.open(ClusterRef(ORG, CLUSTER), replace(AGENT, last_epoch=7))
    assert "run `volary restored mark`" in caplog.text
