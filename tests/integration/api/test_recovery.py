"""Recovery of runs through the API: what is taken over from the other run, and what runs again."""

import asyncio

import pytest
from flyteidl2.actions.actions_service_pb2 import (
    EnqueueRequest,
    SignalRequest,
    WatchForUpdatesRequest,
)
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.common.run_pb2 import RelationType
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import ActionDetails
from flyteidl2.workflow.run_service_pb2 import (
    GetActionDataURIsRequest,
    GetActionDetailsRequest,
)

from shared.model.assignments import Assignment
from shared.model.phases import Phase
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    enqueue,
    enqueue_condition,
    enqueue_trace,
    run_id,
    task_spec,
)
from tests.integration.api.test_actions import until_sentinel
from tests.integration.api.test_relations import FAILURE, related

QUEUED = ActionPhase.ACTION_PHASE_QUEUED
PAUSED = ActionPhase.ACTION_PHASE_PAUSED
RECOVERED = ActionPhase.ACTION_PHASE_RECOVERED
RECOVER = RelationType.RELATION_TYPE_RECOVER


def in_run(request: EnqueueRequest, run: str) -> EnqueueRequest:
    request.action.action_id.run.CopyFrom(run_id(run))
    return request


def with_outputs() -> TaskSpec:
    spec = task_spec("env.child")
    spec.task_template.interface.outputs.variables.add(key="o0")
    return spec


async def start(api: ApiUnderTest, name: str, of: str = "", *forced: str) -> Assignment:
    """Start a run, as a recovery of another if it has a name, and begin to run its root."""
    request = related(name, of, RECOVER, *forced) if of else create_run(name)
    await api.runs.create_run(request)
    (root,) = [each for each in await api.claim() if each.key.run.name == name]
    await api.report(root, Phase.RUNNING)
    return root


async def end(api: ApiUnderTest, root: Assignment) -> None:
    await api.report(root, Phase.FAILED, failure=FAILURE, first_version=2)


async def run_child(api: ApiUnderTest, request: EnqueueRequest, phase: Phase) -> None:
    """Enqueue a task, let it write its outputs, and end it."""
    await api.actions.enqueue(request)
    (child,) = await api.claim()
    if phase is Phase.SUCCEEDED:
        await api.blobs.write(f"{child.output_prefix}/outputs.pb", b"")
    failure = FAILURE if phase is Phase.FAILED else None
    await api.report(child, Phase.RUNNING, phase, failure=failure)


async def details_of(api: ApiUnderTest, name: str, run: str) -> ActionDetails:
    request = GetActionDetailsRequest(action_id=action_id(name, run=run))
    found: ActionDetails = (await api.runs.get_action_details(request)).details
    return found


async def phase_of(api: ApiUnderTest, name: str, run: str) -> int:
    phase: int = (await details_of(api, name, run)).status.phase
    return phase


@pytest.fixture
async def failed(api: ApiUnderTest) -> ApiUnderTest:
    """An API with a run r1 that failed: ``good`` succeeded in it, ``bad`` did not."""
    r1 = await start(api, "r1")
    await run_child(api, enqueue(api, "good", spec=with_outputs()), Phase.SUCCEEDED)
    await run_child(api, enqueue(api, "bad", spec=with_outputs()), Phase.FAILED)
    await end(api, r1)
    return api


async def test_recovery_takes_over_what_succeeded_and_runs_the_rest(failed: ApiUnderTest) -> None:
    api = failed
    await start(api, "r2", "r1")

    for name in ("good", "bad"):
        await api.actions.enqueue(enqueue(api, name, run="r2", spec=with_outputs()))

    assert [each.key.name for each in await api.claim()] == ["bad"]
    good = await details_of(api, "good", "r2")
    assert good.status.phase == RECOVERED
    assert good.metadata.recovered_from.run.name == "r1"
    assert good.metadata.recovered_from.name == "good"
    assert list(good.attempts) == []
    uris = await api.runs.get_action_data_u_r_is(
        GetActionDataURIsRequest(action_id=action_id("good", run="r2"))
    )
    assert uris.outputs_uri.endswith("/r1/good/1/outputs.pb")
    updates = api.actions.watch_for_updates(
        WatchForUpdatesRequest(parent_action_id=action_id(run="r2"))
    )
    seen = {update.action_id.name: update for update in await until_sentinel(updates)}
    assert seen["good"].phase == RECOVERED
    assert seen["good"].output_uri.endswith("/r1/good/1")  # the prefix, which the SDK extends
    assert seen["bad"].phase != RECOVERED


async def test_recovery_of_a_recovery_names_the_run_that_executed_the_action(
    failed: ApiUnderTest,
) -> None:
    api = failed
    r2 = await start(api, "r2", "r1")
    await api.actions.enqueue(enqueue(api, "good", run="r2", spec=with_outputs()))
    await end(api, r2)
    await start(api, "r3", "r2")

    await api.actions.enqueue(enqueue(api, "good", run="r3", spec=with_outputs()))

    good = await details_of(api, "good", "r3")
    assert good.status.phase == RECOVERED
    assert good.metadata.recovered_from.run.name == "r1"


async def test_repeated_enqueue_of_a_recovered_action_recovers_it_once(
    failed: ApiUnderTest,
) -> None:
    api = failed
    await start(api, "r2", "r1")
    request = enqueue(api, "good", run="r2", spec=with_outputs())

    await api.actions.enqueue(request)
    await api.actions.enqueue(request)

    assert await phase_of(api, "good", "r2") == RECOVERED
    assert not await api.claim()


async def test_action_that_is_named_runs_again_and_each_of_its_children_is_decided(
    api: ApiUnderTest,
) -> None:
    r1 = await start(api, "r1")
    await run_child(api, enqueue(api, "outer"), Phase.SUCCEEDED)
    await run_child(api, enqueue(api, "sibling"), Phase.SUCCEEDED)
    await end(api, r1)
    await start(api, "r2", "r1", "outer")

    for name in ("outer", "sibling"):
        await api.actions.enqueue(enqueue(api, name, run="r2"))

    assert await phase_of(api, "outer", "r2") == QUEUED
    assert await phase_of(api, "sibling", "r2") == RECOVERED


async def test_action_of_another_parent_or_type_is_not_recovered(failed: ApiUnderTest) -> None:
    api = failed
    await start(api, "r2", "r1")
    await api.actions.enqueue(enqueue(api, "bad", run="r2", spec=with_outputs()))

    await api.actions.enqueue(enqueue(api, "good", run="r2", parent="bad", spec=with_outputs()))

    assert await phase_of(api, "good", "r2") == QUEUED


async def test_action_whose_outputs_are_gone_runs_again(api: ApiUnderTest) -> None:
    r1 = await start(api, "r1")
    await api.actions.enqueue(enqueue(api, "lost", spec=with_outputs()))
    await api.finish()  # without a file of outputs
    await run_child(api, enqueue(api, "none"), Phase.SUCCEEDED)
    await end(api, r1)
    await start(api, "r2", "r1")

    await api.actions.enqueue(enqueue(api, "lost", run="r2", spec=with_outputs()))
    await api.actions.enqueue(enqueue(api, "none", run="r2"))

    assert await phase_of(api, "lost", "r2") == QUEUED
    assert await phase_of(api, "none", "r2") == RECOVERED


async def test_rerun_takes_nothing_over(failed: ApiUnderTest) -> None:
    api = failed
    await api.runs.create_run(related("r2", "r1", RelationType.RELATION_TYPE_RERUN))

    await api.actions.enqueue(enqueue(api, "good", run="r2", spec=with_outputs()))

    assert await phase_of(api, "good", "r2") == QUEUED


async def test_succeeded_traces_are_in_the_first_snapshot_and_failed_ones_are_not(
    api: ApiUnderTest,
) -> None:
    r1 = await start(api, "r1")
    for name, phase in (
        ("done", ActionPhase.ACTION_PHASE_SUCCEEDED),
        ("broken", ActionPhase.ACTION_PHASE_FAILED),
        ("forced", ActionPhase.ACTION_PHASE_SUCCEEDED),
        ("gone", ActionPhase.ACTION_PHASE_SUCCEEDED),
    ):
        uri = f"{api.blobs.base}/acme/flytesnacks/development/r1/{name}/outputs.pb"
        if name != "gone":
            await api.blobs.write(uri, b"")
        await api.actions.enqueue(enqueue_trace(name, phase=phase, output_uri=uri))
    await api.actions.enqueue(
        enqueue_trace("without-outputs", phase=ActionPhase.ACTION_PHASE_SUCCEEDED, output_uri="")
    )
    await run_child(api, enqueue(api, "task"), Phase.SUCCEEDED)
    await end(api, r1)
    await start(api, "r2", "r1", "forced")

    request = WatchForUpdatesRequest(parent_action_id=action_id(run="r2"))
    for _ in range(2):  # a second watch, as after a restart of the task, shows the same
        updates = api.actions.watch_for_updates(request)
        (done,) = await until_sentinel(updates)
        await updates.aclose()
        assert (done.action_id.name, done.phase) == ("done", RECOVERED)
        assert done.output_uri.endswith("/r1/done/outputs.pb")

    found = await details_of(api, "done", "r2")
    assert found.metadata.recovered_from.run.name == "r1"


@pytest.mark.parametrize(("forced", "phase"), [((), RECOVERED), (("ask",), PAUSED)])
async def test_answered_condition_is_asked_again_only_if_it_is_named(
    api: ApiUnderTest, forced: tuple[str, ...], phase: int
) -> None:
    r1 = await start(api, "r1")
    await api.actions.enqueue(enqueue_condition("ask"))
    answer = SignalRequest(action_id=action_id("ask"), parent_action_name="a0")
    answer.value.scalar.primitive.boolean = True
    await api.actions.signal(answer)
    await end(api, r1)
    await start(api, "r2", "r1", *forced)

    await api.actions.enqueue(in_run(enqueue_condition("ask"), "r2"))

    updates = api.actions.watch_for_updates(
        WatchForUpdatesRequest(parent_action_id=action_id(run="r2"))
    )
    (update,) = await until_sentinel(updates)
    assert update.phase == phase
    assert update.value.scalar.primitive.boolean is not bool(forced)


@pytest.mark.parametrize(
    ("version", "forced", "phase"),
    [("v1", (), RECOVERED), ("v2", (), QUEUED), ("v1", ("a0",), QUEUED)],
)
async def test_root_that_succeeded_is_recovered_unless_it_is_named_or_its_task_changed(
    api: ApiUnderTest, version: str, forced: tuple[str, ...], phase: int
) -> None:
    await api.runs.create_run(create_run("r1"))
    await api.finish()
    request = related("r2", "r1", RECOVER, *forced)
    request.task_spec.CopyFrom(task_spec(version=version))

    await api.runs.create_run(request)
    again = await api.runs.create_run(request)

    assert again.run.action.status.phase == phase
    root = await details_of(api, "a0", "r2")
    assert root.status.phase == phase
    assert root.metadata.recovered_from.run.name == ("r1" if phase == RECOVERED else "")
    assert len(await api.claim()) == (phase == QUEUED)


async def test_recovery_that_is_created_many_times_at_once_is_one_run(
    failed: ApiUnderTest,
) -> None:
    api = failed
    request = related("r2", "r1", RECOVER)
    created = await asyncio.gather(*(api.runs.create_run(request) for _ in range(5)))

    assert {each.run.action.id.run.name for each in created} == {"r2"}
    assert [each.key.run.name for each in await api.claim()] == ["r2"]


async def test_two_recoveries_of_one_run_at_once_take_over_the_same(failed: ApiUnderTest) -> None:
    api = failed
    for name in ("r2", "r3"):
        await start(api, name, "r1")
    await asyncio.gather(
        *(
            api.actions.enqueue(enqueue(api, "good", run=name, spec=with_outputs()))
            for name in ("r2", "r3", "r2", "r3")
        )
    )
    assert [await phase_of(api, "good", name) for name in ("r2", "r3")] == [RECOVERED] * 2
    assert not await api.claim()


async def test_success_that_comes_after_the_recovered_run_ended_is_not_taken_over(
    api: ApiUnderTest,
) -> None:
    root = await start(api, "r1")
    await api.actions.enqueue(enqueue(api, "late", spec=with_outputs()))
    (late,) = await api.claim()
    await api.report(late, Phase.RUNNING)
    await end(api, root)
    await api.blobs.write(f"{late.output_prefix}/outputs.pb", b"")
    await api.report(late, Phase.SUCCEEDED, first_version=2)

    await start(api, "r2", "r1")
    await api.actions.enqueue(enqueue(api, "late", run="r2", spec=with_outputs()))
    assert [each.key.name for each in await api.claim()] == ["late"]
    assert await phase_of(api, "late", "r1") == ActionPhase.ACTION_PHASE_ABORTED


async def test_client_cannot_say_that_its_action_was_recovered(api: ApiUnderTest) -> None:
    await start(api, "r1")
    request = enqueue(api, "mine", spec=with_outputs())
    request.action.recovered_from.CopyFrom(action_id("good", run="other"))
    await api.actions.enqueue(request)

    found = await details_of(api, "mine", "r1")
    assert found.status.phase == QUEUED
    assert not found.metadata.HasField("recovered_from")
