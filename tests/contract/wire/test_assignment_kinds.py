"""An agent refuses assignments of kinds that a later control plane sends, and goes on."""

from pathlib import Path
from typing import Any

from shared.idl.agent.v1 import assignment_pb2, link_pb2
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.contract.wire.recording import Tap, tapped
from tests.contract.wire.session import People, lay_out, place_of
from tests.integration.agent.world import AgentProcess, stopped_afterwards
from tests.integration.link.conftest import TOKEN, LinkUnderTest

LATER_KIND = 7


class LaterControlPlane(Tap):
    """Makes assignments of run r2 those of a later kind, of which only the lease is known."""

    async def _pump_down(self, call: Any, agent: Any) -> None:
        while isinstance(raw := await call.read(), bytes):
            frame = link_pb2.ControlFrame.FromString(raw)
            for each in frame.assignments.assignments:
                if each.run == "r2":
                    later = assignment_pb2.Assignment(attempt=each.attempt, lease_id=each.lease_id)
                    later.kind = LATER_KIND  # type: ignore[assignment] # enums are open
                    each.CopyFrom(later)
            await agent.write(frame.SerializeToString())


async def test_agent_fails_assignment_of_an_unknown_kind_with_the_reason(
    link: LinkUnderTest, tmp_path: Path
) -> None:
    place = place_of(tmp_path)
    lay_out(place)
    people = People(link, str(place))
    async with tapped(link, LaterControlPlane) as (_, address):
        agent = await AgentProcess.dial(address, TOKEN, tmp_path, "--cold")
        async with stopped_afterwards(agent):
            await people.act("begin r2")
            await people.until_phase("r2", Phase.FAILED)
            await people.act("begin r1")
            await people.until_phase("r1", Phase.SUCCEEDED)
    failure = (await link.store.detail(people.runs["r2"])).attempts[-1].failure
    assert failure is not None
    assert (failure.code, failure.kind) == ("UnknownAssignmentKind", FailureKind.SYSTEM)
    assert "kind 7" in failure.message
    assert "upgrade the agent" in failure.message
