"""The scheduler: one run for each scheduled instant, on any number of replicas."""

import asyncio
from datetime import timedelta
from functools import partial

import asyncpg
import pytest
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.settings.settings_definition_pb2 import Settings, SettingsKey, SettingState
from flyteidl2.settings.settings_service_pb2 import CreateSettingsRequest
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.trigger.trigger_service_pb2 import DeleteTriggersRequest, UpdateTriggersRequest
from flyteidl2.workflow.run_definition_pb2 import RunSource
from flyteidl2.workflow.run_service_pb2 import (
    CreateRunRequest,
    GetRunDetailsRequest,
    ListRunsRequest,
    WatchRunsRequest,
)

from controlplane.api.convert.triggers import build_run
from controlplane.core.runs import NewRun
from controlplane.core.scoped_settings import Effective
from controlplane.core.triggers import MOST_LATE, DueTrigger
from controlplane.feeds.feeds import Feeds
from controlplane.loops.triggers import KEEP_DELETED, PAGE, TriggerScheduler
from controlplane.store.notify.notifications import listen
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from shared.model.phases import Phase
from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import project_id, run_id
from tests.integration.api.triggers import (
    deploy_scheduled,
    deploy_trigger,
    details,
    of_task,
    trigger_name,
)
from tests.integration.loops.firing_history import firings
from tests.integration.loops.scheduling import (
    MINUTE,
    SetClock,
    api,
    claim_all,
    clock,
    first_instant,
    instants,
    make,
    next_minute,
    rows,
    state,
)

__all__ = ["api", "clock"]


async def test_scheduled_run_has_all_that_its_trigger_says(
    api: ApiUnderTest, clock: SetClock
) -> None:
    request = deploy_scheduled(of_task())
    settings = request.triggers[0].spec.run_spec
    settings.labels.values["team"] = "data"
    settings.max_action_concurrency = 7
    settings.envs.values.add(key="COLOR", value="red")
    await api.tasks.deploy_task(request)
    instant = await first_instant(api)
    clock.time = instant + timedelta(seconds=3)

    assert await make(api, clock).run_once() == 1

    [assignment] = await claim_all(api, clock.time)
    assert assignment.run_started_at == instant
    body = Inputs.FromString(await api.blobs.read(assignment.input_uri, limit=10_000))
    assert body.literals[0].value.scalar.primitive.integer == 3
    assert body.context[0].value == "when"
    [run] = (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs
    assert run.action.id.run.name.startswith("t")
    assert run.action.metadata.source == RunSource.RUN_SOURCE_SCHEDULE_TRIGGER
    assert run.action.metadata.trigger_id.revision == 1
    assert run.action.metadata.executed_by.user.id.subject == "anonymous"
    assert run.labels == {"team": "data"}
    [(limit,)] = await rows(api, "SELECT max_action_concurrency FROM runs")
    assert limit == 7
    assert (await details(api)).status.triggered_at.ToDatetime(tzinfo=instant.tzinfo) == clock.time


async def test_settings_of_the_project_apply_when_the_run_starts(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    settings = Settings()
    settings.labels.state = SettingState.SETTING_STATE_VALUE
    settings.labels.map_value.entries["team"] = "later"
    await api.settings.create_settings(
        CreateSettingsRequest(key=SettingsKey(domain=DOMAIN, project=PROJECT), settings=settings)
    )
    clock.time = await first_instant(api)

    assert await make(api, clock).run_once() == 1

    [run] = (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs
    assert run.labels == {"team": "later"}


async def test_root_of_a_scheduled_run_takes_no_cached_result(
    api: ApiUnderTest, clock: SetClock
) -> None:
    request = deploy_scheduled(of_task())
    metadata = request.spec.task_template.metadata
    metadata.discoverable, metadata.discovery_version = True, "1"
    await api.tasks.deploy_task(request)
    clock.time = await first_instant(api)
    assert await make(api, clock).run_once() == 1
    [first] = await claim_all(api, clock.time)
    await api.report(first, Phase.RUNNING, Phase.SUCCEEDED)
    clock.time += MINUTE

    assert await make(api, clock).run_once() == 1

    assert len(await claim_all(api, clock.time)) == 1


async def test_rerun_of_a_scheduled_run_repeats_its_kickoff_time_and_takes_no_cached_result(
    api: ApiUnderTest, clock: SetClock
) -> None:
    request = deploy_scheduled(of_task())
    metadata = request.spec.task_template.metadata
    metadata.discoverable, metadata.discovery_version = True, "1"
    await api.tasks.deploy_task(request)
    instant = await first_instant(api)
    clock.time = instant
    assert await make(api, clock).run_once() == 1
    [first] = await claim_all(api, clock.time)
    await api.report(first, Phase.RUNNING, Phase.SUCCEEDED)
    source = run_id(first.key.run.name)
    details = (await api.runs.get_run_details(GetRunDetailsRequest(run_id=source))).details

    for name in ("again1", "again2"):  # as the SDK reruns it, with the inputs that it read
        body = Inputs.FromString(await api.blobs.read(first.input_uri, limit=10_000))
        uploaded = await api.data.upload_inputs(
            UploadInputsRequest(project_id=project_id(), task_spec=request.spec, inputs=body)
        )
        rerun = CreateRunRequest(
            run_id=run_id(name),
            task_spec=request.spec,
            offloaded_input_data=uploaded.offloaded_input_data,
            run_spec=details.run_spec,
        )
        rerun.run_spec.relation.relation_type = 1
        rerun.run_spec.relation.related_to.CopyFrom(source)
        await api.runs.create_run(rerun)
        [assignment] = await claim_all(api, clock.time)
        assert assignment.run_started_at == instant
        await api.blobs.write(f"{assignment.output_prefix}/outputs.pb", b"")
        await api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED)


async def test_pass_before_the_instant_starts_nothing(api: ApiUnderTest, clock: SetClock) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    clock.time = await first_instant(api) - timedelta(milliseconds=1)

    assert await make(api, clock).run_once() == 0


async def test_instants_of_an_outage_each_start_a_run_of_their_own(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    first = await first_instant(api)
    clock.time = first + 6 * MINUTE + timedelta(seconds=5)

    assert await make(api, clock).run_once() == 7
    assert await make(api, clock).run_once() == 0

    expected = {("env.main", "nightly", first + k * MINUTE): 1 for k in range(7)}
    assert await instants(api) == expected


async def test_instants_between_a_backup_and_its_restore_start_nothing_and_are_listed(
    api: ApiUnderTest, clock: SetClock, owner_database_url: str
) -> None:
    """The lost database may have started their runs; the later ones start."""
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    first = await first_instant(api)
    connection = await asyncpg.connect(owner_database_url)
    await connection.execute(
        "INSERT INTO restores (restored_at, taken_at) VALUES ($1, $2)",
        first + 3 * MINUTE + timedelta(seconds=30),
        first + timedelta(seconds=30),
    )
    await connection.close()
    clock.time = first + 5 * MINUTE

    assert await make(api, clock).run_once() == 3
    expected = {("env.main", "nightly", first + k * MINUTE): 1 for k in (0, 4, 5)}
    assert await instants(api) == expected
    skipped = [each for each in await firings(api) if each.outcome == "skipped"]
    assert [(each.reason, each.instants) for each in skipped] == [("restored", 3)]


async def test_instants_past_the_limit_of_an_outage_are_skipped_and_counted(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    clock.time = await first_instant(api) + (MOST_LATE + 49) * MINUTE

    assert await make(api, clock).run_once() == MOST_LATE

    skipped, error = await state(api)
    assert skipped == 50
    assert "too late" in str(error)


async def test_ten_thousand_due_instants_start_a_run_each_on_two_replicas(
    api: ApiUnderTest, clock: SetClock
) -> None:
    for task in range(4):
        await api.tasks.deploy_task(
            deploy_scheduled(
                *(of_task(f"t{number}") for number in range(50)), name=f"env.task{task}"
            )
        )
    clock.time = await first_instant(api) + 49 * MINUTE

    started = await asyncio.gather(make(api, clock).run_once(), make(api, clock).run_once())
    while await make(api, clock).run_once():
        pass

    found = await instants(api)
    assert len(found) == 10_000
    assert set(found.values()) == {1}
    assert sum(started) <= 10_000
    counted = await rows(
        api, "SELECT (SELECT count(*) FROM dispatches), (SELECT count(*) FROM actions)"
    )
    assert counted == [(10_000, 10_000)]


async def test_replica_that_dies_amid_a_page_leaves_each_instant_to_another(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(*(of_task(f"t{k}") for k in range(20))))
    clock.time = await first_instant(api) + 2 * MINUTE
    built = 0

    def die(due: DueTrigger, spec: bytes, settings: Effective, org: OrgName) -> NewRun:
        nonlocal built
        built += 1
        if built == 30:  # in the second page of a catch-up
            raise asyncio.CancelledError
        return build_run(due, spec, settings, org, base=api.blobs.base)

    with pytest.raises(asyncio.CancelledError):
        await make(api, clock, die).run_once()
    assert await make(api, clock).run_once() == 40

    found = await instants(api)
    assert len(found) == 60
    assert set(found.values()) == {1}


async def test_clock_that_goes_back_starts_no_run_twice(api: ApiUnderTest, clock: SetClock) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    first = await first_instant(api)
    clock.time = first + 2 * MINUTE
    assert await make(api, clock).run_once() == 3

    clock.time = first
    assert await make(api, clock).run_once() == 0
    # Deployed anew while the clock is back, so that its first instant is one that was fired.
    await api.triggers.delete_triggers(DeleteTriggersRequest(names=[trigger_name()]))
    await api.triggers.deploy_trigger(deploy_trigger())
    clock.time = first + 3 * MINUTE
    assert await make(api, clock).run_once() == 1

    assert set((await instants(api)).values()) == {1}


async def test_inactive_trigger_starts_nothing_and_catches_nothing_up(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    await api.triggers.update_triggers(UpdateTriggersRequest(names=[trigger_name()], active=False))
    clock.time = next_minute() + 3 * MINUTE
    assert await make(api, clock).run_once() == 0

    await api.triggers.update_triggers(UpdateTriggersRequest(names=[trigger_name()], active=True))

    assert await first_instant(api) > SystemClock().now()


async def test_trigger_that_is_deleted_while_it_fires_starts_one_run_or_none(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    clock.time = await first_instant(api)

    started, _ = await asyncio.gather(
        make(api, clock).run_once(),
        api.triggers.delete_triggers(DeleteTriggersRequest(names=[trigger_name()])),
    )

    assert sum((await instants(api)).values()) == started
    clock.time += 10 * MINUTE
    assert await make(api, clock).run_once() == 0


async def test_more_triggers_than_a_page_are_all_fired_in_one_pass(
    api: ApiUnderTest, clock: SetClock
) -> None:
    for task in range(3):
        await api.tasks.deploy_task(
            deploy_scheduled(
                *(of_task(f"t{number}") for number in range(50)), name=f"env.task{task}"
            )
        )
    clock.time = await first_instant(api)

    assert await make(api, clock).run_once() == 150 > PAGE


async def test_revisions_of_a_trigger_that_was_deleted_long_ago_are_forgotten(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task("old"), of_task("live")))
    await api.triggers.delete_triggers(DeleteTriggersRequest(names=[trigger_name("old")]))
    await api.triggers.update_triggers(
        UpdateTriggersRequest(names=[trigger_name("live")], active=False)
    )
    left = "SELECT name, revision FROM trigger_revisions ORDER BY name, revision"

    clock.time += KEEP_DELETED - MINUTE
    await make(api, clock).run_once()
    assert len(await rows(api, left)) == 4
    clock.time += 2 * MINUTE
    await make(api, clock).run_once()

    assert await rows(api, left) == [("live", 1), ("live", 2)]
    assert await rows(api, "SELECT name FROM triggers") == [("live",)]


async def test_deployed_trigger_wakes_the_scheduler(api: ApiUnderTest, database_url: str) -> None:
    clock = SystemClock()
    feeds = Feeds(api.database, partial(listen, database_url))
    scheduler = TriggerScheduler(
        api.database,
        feeds.triggers,
        clock,
        build=partial(build_run, base=api.blobs.base),
        every=timedelta(hours=1),  # longer than the test: only the notice can wake it
    )
    request = deploy_scheduled(of_task())
    rate = request.triggers[0].automation_spec.schedule.rate
    rate.value, rate.unit = 1, 1
    rate.start_time.FromDatetime(clock.now() + timedelta(seconds=2))

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(feeds.run()), tasks.create_task(scheduler.run())]
        watch = api.runs.watch_runs(WatchRunsRequest(project_id=project_id()))
        assert not (await anext(watch)).runs
        await api.tasks.deploy_task(request)
        [run] = (await anext(watch)).runs
        for task in running:
            task.cancel()

    assert run.action.metadata.trigger_name == "nightly"
