"""Notifications of runs that a trigger starts."""

from datetime import timedelta

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.notification.definition_pb2 import HttpMethod
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, ListRunsRequest

from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.triggers import deploy_scheduled, of_task, trigger_name
from tests.integration.loops.scheduling import (
    MINUTE,
    SetClock,
    api,
    clock,
    first_instant,
    make,
    rows,
)
from tests.integration.runs import make_deliveries

__all__ = ["api", "clock"]


async def test_each_run_of_a_trigger_is_reported(api: ApiUnderTest, clock: SetClock) -> None:
    request = deploy_scheduled(of_task())
    rule = request.triggers[0].spec.run_spec.notification_rules.rules.add(
        on_phases=[ActionPhase.ACTION_PHASE_ABORTED]
    )
    rule.delivery_template.webhook.url = "https://hooks.example/T0"
    rule.delivery_template.webhook.method = HttpMethod.HTTP_METHOD_POST
    await api.tasks.deploy_task(request)
    clock.time = await first_instant(api) + 2 * MINUTE + timedelta(seconds=5)
    assert await make(api, clock).run_once() == 3

    for run in (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs:
        await api.runs.abort_run(AbortRunRequest(run_id=run.action.id.run))
    await make_deliveries(api.database, clock).expand(ORG)

    found = await rows(api, "SELECT DISTINCT run_id, target FROM deliveries")
    assert [target for _, target in found] == ["https://hooks.example"] * 3
