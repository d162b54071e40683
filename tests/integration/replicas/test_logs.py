"""Logs of both planes name the run, the action and the trace of what they are about."""

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import GetActionDetailsRequest

from shared.model.ids import DomainName, OrgName, ProjectName, RunKey, RunName
from shared.model.traces import trace_id_of
from tests.integration.agent.world import ActionRequest
from tests.integration.replicas.world import World


async def test_logs_of_control_plane_and_agent_have_one_trace_id_for_a_run(world: World) -> None:
    replica = world.replicas[0]
    action = await world.start(
        replica, ActionRequest(task="add_one", inputs={"x": 3}, outputs=["o0"])
    )
    await replica.api.phase(action, ActionPhase.ACTION_PHASE_SUCCEEDED)
    await replica.api.runs.get_action_details(GetActionDetailsRequest(action_id=action))
    run = RunKey(
        ProjectName(action.run.project), DomainName(action.run.domain), RunName(action.run.name)
    )
    trace = f"trace_id={trace_id_of(OrgName('local'), run)}"
    calls = [line for line in replica.program.output().splitlines() if trace in line]
    assert [line for line in calls if f"action={run}/a0" in line and "GetActionDetails" in line]
    attempts = [line for line in world.agent.output().splitlines() if trace in line]
    assert [line for line in attempts if f"action={run}/a0 attempt=1" in line]
