"""Every replica's door knows whether what may be begun elsewhere may go on; in doubt it may not."""

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


async def test_what_was_never_read_is_no_contact_and_where_nobody_led_there_needs_none(
    kube: Kube, place: str
) -> None:
    contacts, _ = make_contacts(kube, place)
    assert not contacts.is_fresh()

    async with running(contacts):
        await until(contacts.is_fresh)


async def test_who_leads_no_longer_goes_by_what_it_knew_last(
    kube: Kube, place: str, open_with: OpenWith
) -> None:
    """It may have lost the Lease because it reaches nobody, and nobody will tell it more."""
    contacts, clock = make_contacts(kube, place)
    async with open_with(kube) as ledger:
        with contacts.leading(ledger):
            await ledger.remember_session(WELCOME, NOW)
            assert contacts.is_fresh()

    assert contacts.is_fresh()
    clock.advance(WELCOME.fence_after)
    assert not contacts.is_fresh()


async def test_a_standby_reads_what_the_leader_wrote_down(
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
