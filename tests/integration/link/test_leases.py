"""Leases over a session: accepted, kept, stopped, and given to another agent."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from shared.idl.agent.v1 import assignment_pb2, link_pb2
from shared.model.ids import LeaseId
from shared.model.phases import Phase
from shared.model.reports import AckStatus
from tests.factories import make_new_action, make_new_run, make_report
from tests.integration.link.conftest import (
    LinkUnderTest,
    calling,
    lease_of,
    make_leases,
)

KEEP = link_pb2.VerdictOnLease.KIND_KEEP
STOP = link_pb2.VerdictOnLease.KIND_STOP
FORGET = link_pb2.VerdictOnLease.KIND_FORGET
APPLIED, REPEATED, STALE = (
    status.value for status in (AckStatus.APPLIED, AckStatus.REPEATED, AckStatus.STALE)
)


async def test_accepted_lease_is_confirmed_and_an_unknown_one_is_forgotten(
    link: LinkUnderTest,
) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        strange = replace(assignment, lease=LeaseId(uuid4()))
        leases = make_leases(lease_of(assignment, strange))
        await agent.say(accepted=assignment_pb2.Accepted(leases=leases))
        confirmed = (await agent.hear("confirmed")).confirmed
        assert list(confirmed.leases) == leases[:1]
        [stop] = (await agent.hear("stops")).stops.stops
        assert (stop.lease, stop.forget) == (leases[1], True)


async def test_unaccepted_lease_is_released_and_leased_again(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [first] = await agent.take(1)
    async with calling(link) as agent:
        await agent.open()
        [second] = await agent.take(1)
        assert second.attempt == first.attempt
        assert second.lease != first.lease
        assert await agent.report(make_report(first, 1, Phase.RUNNING)) == [STALE]
        assert await agent.accept(second) == {second.lease}


async def test_accepted_lease_is_kept_over_a_broken_stream(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
        assert await agent.report(make_report(assignment, 1, Phase.RUNNING)) == [APPLIED]
    async with calling(link) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == KEEP
        assert await agent.report(
            make_report(assignment, 1, Phase.RUNNING), make_report(assignment, 2, Phase.SUCCEEDED)
        ) == [REPEATED, APPLIED]
    assert await link.store.phase(run) is Phase.SUCCEEDED


async def test_empty_inventory_deletes_nothing(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
    async with calling(link) as agent:
        await agent.open([])
    async with calling(link) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == KEEP
        assert await agent.report(make_report(assignment, 1, Phase.SUCCEEDED)) == [APPLIED]
    assert await link.store.phase(run) is Phase.SUCCEEDED


async def test_stop_is_sent_at_once_and_at_every_reconnection(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
        await link.store.abort(run)
        async with asyncio.timeout(12):
            [stop] = (await agent.hear("stops")).stops.stops
        assert (stop.lease, stop.reason, stop.forget) == (
            make_leases(lease_of(assignment))[0],
            "enough",
            False,
        )
    for _ in range(2):
        async with calling(link) as agent:
            [decision] = await agent.open(lease_of(assignment))
            assert decision.kind == STOP
    async with calling(link) as agent:
        await agent.open(lease_of(assignment))
        [stop] = (await agent.hear("stops")).stops.stops
        assert await agent.report(make_report(assignment, 1, Phase.ABORTED)) == [APPLIED]
    async with calling(link) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == FORGET
    assert await link.store.count("dispatches") == 0


async def test_acceptance_of_an_aborted_attempt_is_answered_with_a_stop(
    link: LinkUnderTest,
) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await link.store.abort(run)
        lease = make_leases(lease_of(assignment))
        for accepting in (False, True):
            if accepting:
                await agent.say(accepted=assignment_pb2.Accepted(leases=lease))
            [stop] = (await agent.hear("stops")).stops.stops
            assert (stop.lease, stop.forget) == (lease[0], False)
        assert await agent.report(make_report(assignment, 1, Phase.ABORTED)) == [APPLIED]
    assert await link.store.count("dispatches") == 0


async def test_work_of_a_broken_session_is_leased_to_another(
    link: LinkUnderTest,
) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(*(make_new_action(f"b{number}") for number in range(20)))
    for _ in range(5):
        async with calling(link) as agent:
            await agent.open()
            await agent.say(credit=link_pb2.Credit(total=21))
    async with calling(link) as agent:
        await agent.open()
        taken = await agent.take(21)
        await agent.accept(*taken)
    assert len({each.attempt for each in taken}) == 21
    assert {each.attempt.number for each in taken} == {1}
