"""Tests of the last heartbeat as every replica's proxy reads it; in doubt it is expired."""

from datetime import timedelta

from dataplane.agent.kube.client import Kube
from dataplane.agent.main.control_plane_heartbeat import ControlPlaneHeartbeat
from tests.fakes.clock import FakeClock
from tests.kube.api.ledger.conftest import OpenWith
from tests.running import running, until
from tests.unit.agent.assignments import NOW
from tests.unit.agent.test_session import WELCOME

GRACE = timedelta(seconds=10)


def make_contacts(kube: Kube, place: str) -> tuple[ControlPlaneHeartbeat, FakeClock]:
    clock = FakeClock(NOW)
    return ControlPlaneHeartbeat(kube, place, GRACE, clock), clock


async def test_heartbeat_unread_is_expired_and_without_leader_fresh(kube: Kube, place: str) -> None:
    contacts, _ = make_contacts(kube, place)
    assert not contacts.is_fresh()

    async with running(contacts):
        await until(contacts.is_fresh)


async def test_heartbeat_of_former_leader_is_its_last_known(
    kube: Kube, place: str, open_with: OpenWith
) -> None:
    """It may have lost the Lease because it has no network, and then cannot read a newer one."""
    contacts, clock = make_contacts(kube, place)
    async with open_with(kube) as ledger:
        with contacts.leading(ledger):
            await ledger.remember_session(WELCOME, NOW)
            assert contacts.is_fresh()

    assert contacts.is_fresh()
    clock.advance(WELCOME.fence_after)
    assert not contacts.is_fresh()


async def test_heartbeat_of_standby_is_read_from_the_leaders(
    kube: Kube, place: str, open_with: OpenWith
) -> None:
    contacts, clock = make_contacts(kube, place)
    async with open_with(kube) as ledger:
        await ledger.remember_session(WELCOME, NOW + timedelta(days=1))

    clock.advance(timedelta(days=1))
    async with running(contacts):
        await until(contacts.is_fresh)
        clock.advance(WELCOME.fence_after)
        assert not contacts.is_fresh()
