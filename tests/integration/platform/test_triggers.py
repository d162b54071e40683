"""Triggers of the platform API: next instants, firings, and runs by hand."""

from datetime import timedelta

import pytest
from connectrpc.code import Code
from flyteidl2.trigger.trigger_service_pb2 import UpdateTriggersRequest
from flyteidl2.workflow.run_service_pb2 import ListRunsRequest

from shared.idl.platform.v1 import trigger_pb2 as pb
from shared.model.phases import Phase
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.platform_requests import TRIGGER
from tests.integration.api.test_scopes import outcome
from tests.integration.api.triggers import (
    cron,
    deploy_scheduled,
    of_task,
    rate,
    trigger_name,
)
from tests.integration.loops.firing_history import call, firings, short
from tests.integration.loops.scheduling import (
    MINUTE,
    SetClock,
    api,
    claim_all,
    clock,
    first_instant,
    make,
    rows,
)

__all__ = ["api", "clock"]


async def test_trigger_shows_its_next_five_instants_in_its_zone(api: ApiUnderTest) -> None:
    nightly = of_task(automation=cron("30 1 * * *", "Europe/London", kickoff="when"))
    each_90_minutes = rate(90)
    each_90_minutes.schedule.kickoff_time_input_arg = "when"
    await api.tasks.deploy_task(deploy_scheduled(nightly, of_task("often", each_90_minutes)))

    found = (await call(api, "GetTrigger", pb.GetTriggerRequest(**TRIGGER))).trigger
    listed = (
        await call(api, "ListTriggers", pb.ListTriggersRequest(task_name="env.main"))
    ).triggers
    often = next(each for each in listed if each.name == "often")

    assert len(found.next_instants) == 5
    assert all("T01:30:00+" in each.local for each in found.next_instants)
    assert found.next_instants[0].at == found.fire_at
    assert (found.cron, found.time_zone, found.overlap) == ("30 1 * * *", "Europe/London", "allow")
    assert often.rate.ToTimedelta() == timedelta(minutes=90)
    assert not often.next_instants


async def test_inactive_trigger_has_no_next_instant(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task(active=False)))

    found = (await call(api, "GetTrigger", pb.GetTriggerRequest(**TRIGGER))).trigger

    assert not found.active
    assert not found.HasField("fire_at")
    assert not found.next_instants


async def test_history_has_late_and_skipped_instants_and_runs_by_hand(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    first = await first_instant(api)
    clock.time = first + MINUTE + timedelta(seconds=5)
    assert await make(api, clock).run_once() == 2
    await rows(api, "UPDATE projects SET state = 1 RETURNING 1")
    clock.time = first + 4 * MINUTE
    assert await make(api, clock).run_once() == 0
    await rows(api, "UPDATE projects SET state = 0 RETURNING 1")

    by_hand = await call(api, "FireTrigger", pb.FireTriggerRequest(**TRIGGER, run="fired"))
    again = await call(api, "FireTrigger", pb.FireTriggerRequest(**TRIGGER, run="fired"))

    assert by_hand.run == again.run == "fired"
    found = await firings(api)
    assert [short(each) for each in found] == [
        ("started", "by_hand", 1),
        ("skipped", "refused", 3),
        ("started", "on_time", 1),
        ("started", "late", 1),
    ]
    assert found[0].by == "anonymous"
    assert "is archived" in found[1].message
    assert found[1].instant.ToDatetime(tzinfo=first.tzinfo) == first + 2 * MINUTE
    assert found[1].last_instant.ToDatetime(tzinfo=first.tzinfo) == first + 4 * MINUTE
    assert found[3].decided_at.ToDatetime(
        tzinfo=first.tzinfo
    ) == clock.time - 3 * MINUTE + timedelta(seconds=5)
    runs = (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs
    assert {run.action.id.run.name for run in runs} == {each.run for each in found} - {""}
    skipped = await firings(api, outcome="skipped")
    assert [each.number for each in skipped] == [3]


async def test_fired_inactive_trigger_starts_a_run_that_takes_no_cached_result(
    api: ApiUnderTest, clock: SetClock
) -> None:
    request = deploy_scheduled(of_task(active=False))
    metadata = request.spec.task_template.metadata
    metadata.discoverable, metadata.discovery_version = True, "1"
    await api.tasks.deploy_task(request)

    for _ in range(2):
        await call(api, "FireTrigger", pb.FireTriggerRequest(**TRIGGER))
        [assignment] = await claim_all(api, clock.time)
        assert assignment.run_started_at is not None
        await api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED)


async def test_history_of_a_trigger_is_paged_and_bounded(
    api: ApiUnderTest, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.store.resources.trigger_firings.MOST_FIRINGS", 5)
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    clock.time = await first_instant(api) + 7 * MINUTE
    assert await make(api, clock).run_once() == 8

    numbers, token = [], ""
    while True:
        request = pb.ListFiringsRequest(**TRIGGER, page_size=2, page_token=token)
        page = await call(api, "ListFirings", request)
        numbers += [each.number for each in page.firings]
        token = page.next_page_token
        if not token:
            break

    assert numbers == [8, 7, 6, 5, 4]


@pytest.mark.parametrize(
    ("rpc", "request_", "code", "part"),
    [
        ("GetTrigger", pb.GetTriggerRequest(**{**TRIGGER, "name": "x"}), Code.NOT_FOUND, "trigger"),
        (
            "ListFirings",
            pb.ListFiringsRequest(**{**TRIGGER, "name": "x"}),
            Code.NOT_FOUND,
            "trigger",
        ),
        (
            "FireTrigger",
            pb.FireTriggerRequest(**{**TRIGGER, "name": "x"}),
            Code.NOT_FOUND,
            "trigger",
        ),
        (
            "FireTrigger",
            pb.FireTriggerRequest(**TRIGGER, run="No"),
            Code.INVALID_ARGUMENT,
            "run name",
        ),
        ("GetTrigger", pb.GetTriggerRequest(), Code.INVALID_ARGUMENT, "project"),
        ("ListTriggers", pb.ListTriggersRequest(domain="/"), Code.INVALID_ARGUMENT, "domain"),
        (
            "ListFirings",
            pb.ListFiringsRequest(**TRIGGER, outcome="late"),
            Code.INVALID_ARGUMENT,
            "outcome: 'late' is not one of started, skipped",
        ),
        (
            "ListFirings",
            pb.ListFiringsRequest(**TRIGGER, page_token="x"),  # noqa: S106 - no secret
            Code.INVALID_ARGUMENT,
            "page_token",
        ),
    ],
)
async def test_bad_request_about_triggers_names_the_field(
    api: ApiUnderTest, rpc: str, request_: object, code: Code, part: str
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))

    found, message = await outcome(api, f"platform.TriggerService/{rpc}", request_)  # type: ignore[arg-type]

    assert (found, part in message) == (code, True), message


async def test_deleted_and_updated_triggers_keep_their_history(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    clock.time = await first_instant(api)
    await make(api, clock).run_once()
    await api.triggers.update_triggers(UpdateTriggersRequest(names=[trigger_name()], active=False))
    await api.tasks.deploy_task(deploy_scheduled())  # deletes it
    await api.tasks.deploy_task(deploy_scheduled(of_task(x=4)))
    clock.time = await first_instant(api) + MINUTE
    await make(api, clock).run_once()

    numbers = [each.number for each in await firings(api)]
    assert len(numbers) > 1
    assert numbers == list(range(len(numbers), 0, -1))
