"""Schedules that change while the scheduler is away, or before their trigger is active."""

from datetime import timedelta

from flyteidl2.task.common_pb2 import TriggerAutomationSpec
from flyteidl2.trigger.trigger_service_pb2 import UpdateTriggersRequest

from shared.kit.clock import SystemClock
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.triggers import (
    cron,
    deploy_scheduled,
    history,
    of_task,
    rate,
    trigger_name,
)
from tests.integration.loops.scheduling import (
    MINUTE,
    SetClock,
    api,
    clock,
    first_instant,
    instants,
    make,
    next_minute,
    rows,
)

__all__ = ["api", "clock"]


def each(automation: TriggerAutomationSpec) -> TriggerAutomationSpec:
    """Return the automation with the task's input for the time."""
    automation.schedule.kickoff_time_input_arg = "when"
    return automation


async def test_changed_schedule_catches_up_none_of_the_earlier_ones_instants(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    await rows(api, "UPDATE triggers SET fire_at = fire_at - interval '10 minutes' RETURNING 1")

    await api.tasks.deploy_task(
        deploy_scheduled(of_task(automation=cron("0 0 1 1 *", kickoff="when")))
    )

    assert [revision for revision, _ in await history(api)] == [2, 1]
    assert await make(api, clock).run_once() == 0
    clock.time = await first_instant(api)
    assert await make(api, clock).run_once() == 1
    [(_, _, started)] = await instants(api)
    assert f"{started:%m-%d %H:%M}" == "01-01 00:00"


async def test_rate_that_is_activated_after_its_start_fires_at_the_next_point_of_its_grid(
    api: ApiUnderTest,
) -> None:
    start = next_minute() - 4 * MINUTE
    await api.tasks.deploy_task(
        deploy_scheduled(of_task(automation=each(rate(5, start=start)), active=False))
    )

    await api.triggers.update_triggers(UpdateTriggersRequest(names=[trigger_name()], active=True))

    assert await first_instant(api) == start + 5 * MINUTE


async def test_rate_keeps_its_phase_when_it_is_deployed_again(api: ApiUnderTest) -> None:
    start = SystemClock().now().replace(microsecond=0) - timedelta(days=1, seconds=7)
    for x in (3, 4):
        await api.tasks.deploy_task(
            deploy_scheduled(of_task(automation=each(rate(1, 2, start=start)), x=x))
        )
        assert (await first_instant(api) - start) % timedelta(hours=1) == timedelta()

    assert [revision for revision, _ in await history(api)] == [2, 1]
