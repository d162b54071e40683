"""Triggers of artifacts: one run for each version that matches, with its value and partitions."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.artifact import artifact_service_pb2 as artifact_pb
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.task.common_pb2 import Inputs, TriggerAutomationSpec
from flyteidl2.task.task_definition_pb2 import TaskTrigger
from flyteidl2.task.task_service_pb2 import DeployTaskRequest
from flyteidl2.trigger.trigger_service_pb2 import UpdateTriggersRequest
from flyteidl2.workflow.run_definition_pb2 import RunSource
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, ListRunsRequest

from controlplane.api.convert.artifact_triggers import build_artifact_run
from controlplane.core.artifact_triggers import MOST_HOPS, MOST_TRIES
from controlplane.core.queues import Queue
from controlplane.loops.artifact_triggers import ArtifactTriggerLoop
from controlplane.store.resources.queues import save_queue
from controlplane.usecases.artifact_triggers import ArtifactTriggers
from shared.blobs.errors import BlobStoreError
from shared.blobs.store import BlobStore
from shared.idl.platform.v1 import trigger_pb2 as pb
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from tests.integration.api.artifacts import DAY, publish
from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.flyte_requests import artifact_name, create_artifact
from tests.integration.api.platform_requests import TRIGGER
from tests.integration.api.requests import action_id, create_run, refusal
from tests.integration.api.test_artifact_lineage import consumers
from tests.integration.api.triggers import (
    deploy_scheduled,
    deploy_trigger,
    inputs,
    trigger_name,
)
from tests.integration.loops.firing_history import call, firings, short
from tests.integration.loops.scheduling import api, claim_all, rows
from tests.integration.store.examined import counting_statements

__all__ = ["api"]

BLOB = LiteralType(blob={"format": "bin"})


def on_artifact(
    name: str = "model", *, version: str = "", bind: str = "raw", **partitions: str
) -> TriggerAutomationSpec:
    automation = TriggerAutomationSpec(type=3)
    automation.artifact.artifact_name, automation.artifact.version = name, version
    automation.artifact.input_arg = bind
    automation.artifact.partitions.update(partitions)
    return automation


def deploy(
    automation: TriggerAutomationSpec, bound: Mapping[str, Any] | None = None
) -> DeployTaskRequest:
    """Return a task with the inputs ``x``, ``when`` and ``raw``, and others by their type."""
    trigger = TaskTrigger(name="nightly", automation_spec=automation)
    trigger.spec.active = True
    trigger.spec.inputs.CopyFrom(inputs(x=3))
    for argument, key in (bound or {}).items():
        automation.artifact.partition_input_args[argument] = key
    trigger.automation_spec.CopyFrom(automation)
    request = deploy_scheduled(trigger)
    variables = request.spec.task_template.interface.inputs.variables
    del variables[1:]  # ``when``
    variables.add(key="raw").value.type.CopyFrom(BLOB)
    for argument in bound or {}:
        kind = SimpleType.DATETIME if argument == "day" else SimpleType.STRING
        variables.add(key=argument).value.type.simple = kind
    return request


def make_loop(api: ApiUnderTest, blobs: BlobStore | None = None) -> ArtifactTriggerLoop:
    build = partial(build_artifact_run, base=api.blobs.base)
    clock = SystemClock()
    return ArtifactTriggerLoop(
        ArtifactTriggers(api.database, blobs or api.blobs, clock, build), clock
    )


async def make_due(api: ApiUnderTest) -> None:
    await rows(api, "UPDATE artifact_firings SET due_at = created_at RETURNING 1")


async def queued(api: ApiUnderTest) -> int:
    return len(await rows(api, "SELECT 1 FROM artifact_firings"))


async def test_version_starts_a_run_with_its_value_and_partitions(api: ApiUnderTest) -> None:
    bound = {"region": "region", "day": "date"}
    await api.tasks.deploy_task(deploy(on_artifact(), bound))
    published = await publish(api, "v1", day=DAY, region="eu")

    assert await make_loop(api).run_once() == 1

    [assignment] = await claim_all(api, SystemClock().now())
    body = Inputs.FromString(await api.blobs.read(assignment.input_uri, limit=10_000))
    given = {each.name: each.value for each in body.literals}
    assert given["x"].scalar.primitive.integer == 3
    assert given["raw"] == published.spec.value
    assert given["raw"].artifact_id.version == "v1"
    assert given["region"].scalar.primitive.string_value == "eu"
    assert given["day"].scalar.primitive.datetime.ToDatetime(tzinfo=DAY.tzinfo) == DAY
    [run] = (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs
    assert run.action.metadata.source == RunSource.RUN_SOURCE_ARTIFACT_TRIGGER
    assert run.action.metadata.trigger_type.artifact.artifact_name == "model"
    assert [short(each) for each in await firings(api)] == [("started", "artifact", 1)]
    assert await consumers(api, {"version": "v1"}) == [run.action.id.run.name]


async def test_partitions_are_given_to_optional_inputs(api: ApiUnderTest) -> None:
    request = deploy(on_artifact(), {"region": "region", "day": "date"})
    for variable in request.spec.task_template.interface.inputs.variables:
        if variable.key in {"region", "day"}:
            wanted = LiteralType(simple=variable.value.type.simple)
            variable.value.type.union_type.variants.extend(
                [wanted, LiteralType(simple=SimpleType.NONE)]
            )
    await api.tasks.deploy_task(request)
    await publish(api, "v1", day=DAY, region="eu")

    assert await make_loop(api).run_once() == 1

    [assignment] = await claim_all(api, SystemClock().now())
    body = Inputs.FromString(await api.blobs.read(assignment.input_uri, limit=10_000))
    given = {each.name: each.value.scalar.primitive for each in body.literals}
    assert given["region"].string_value == "eu"
    assert given["day"].datetime.ToDatetime(tzinfo=DAY.tzinfo) == DAY


@pytest.mark.parametrize(
    ("automation", "started"),
    [
        (on_artifact(), 2),
        (on_artifact(version="v2"), 1),
        (on_artifact(region="eu"), 1),
        (on_artifact(region="eu", tier="gold"), 0),
        (on_artifact("other"), 0),
    ],
    ids=["any", "version", "partition", "two partitions", "name"],
)
async def test_only_versions_that_match_start_a_run(
    api: ApiUnderTest, automation: TriggerAutomationSpec, started: int
) -> None:
    await publish(api, "v0", region="eu")  # before the trigger was there
    await api.tasks.deploy_task(deploy(automation))
    await publish(api, "v1", region="eu")
    await publish(api, "v2", region="us")
    await publish(api, "v2", region="us")  # the same version again

    assert await queued(api) == started
    assert await make_loop(api).run_once() == started
    assert await queued(api) == 0


async def test_each_version_starts_one_run_on_several_replicas_that_may_stop(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy(on_artifact()))
    await asyncio.gather(*(publish(api, f"v{number}") for number in range(6)))

    class Stopping(BlobStore):
        async def write(self, *_: Any, **__: Any) -> None:
            raise asyncio.CancelledError

    stopping = Stopping.__new__(Stopping)
    stopping.__dict__.update(vars(api.blobs))
    with pytest.raises(asyncio.CancelledError):
        await make_loop(api, stopping).run_once()
    await make_due(api)
    found = await asyncio.gather(*(make_loop(api).run_once() for _ in range(3)))
    await make_due(api)
    again = await make_loop(api).run_once()

    assert (sum(found), again) == (6, 0)
    assert len(await rows(api, "SELECT run FROM runs")) == 6


async def test_run_waits_while_the_store_or_its_queue_is_not_there_and_is_then_started(
    api: ApiUnderTest,
) -> None:
    async with api.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="narrow", depth=1), SystemClock().now())
    request = deploy(on_artifact())
    request.triggers[0].spec.run_spec.queue = "narrow"
    await api.tasks.deploy_task(request)
    await publish(api, "v1")

    class Broken(BlobStore):
        async def read(self, *_: Any, **__: Any) -> bytes:
            raise BlobStoreError("no answer")

    broken = Broken.__new__(Broken)
    broken.__dict__.update(vars(api.blobs))
    assert await make_loop(api, broken).run_once() == 0
    await make_due(api)
    assert await make_loop(api).run_once() == 1
    await publish(api, "v2")
    assert await make_loop(api).run_once() == 0
    assert await queued(api) == 1
    await claim_all(api, SystemClock().now())
    await make_due(api)
    assert await make_loop(api).run_once() == 1

    await publish(api, "v3")
    await rows(api, "UPDATE artifact_firings SET tries = 19 RETURNING 1")
    assert MOST_TRIES == 20
    assert await make_loop(api).run_once() == 0
    assert await queued(api) == 0
    assert (await firings(api))[0].message == "queue narrow is full"


async def test_version_that_does_not_fit_the_task_is_recorded_with_the_reason(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy(on_artifact(), {"region": "region"}))
    text = create_artifact("model", "text", "s3://somewhere/text")
    text.spec.type.CopyFrom(LiteralType(simple=SimpleType.STRING))
    text.spec.value.Clear()
    text.spec.value.scalar.primitive.string_value = "x"
    await api.artifacts.create_artifact(text)
    await publish(api, "plain")
    await publish(api, "gone", region="eu")
    await api.artifacts.delete_artifact(
        artifact_pb.DeleteArtifactRequest(
            artifact_id={"name": artifact_name("model"), "version": "gone"}
        )
    )

    assert await make_loop(api).run_once() == 0

    messages = {each.message.split("artifact ")[-1] for each in await firings(api)}
    assert {message.partition("/")[2].partition("@")[2] for message in messages} == {
        "text is of type simple, and input 'raw' of the task of type blob",
        "plain has no partition 'region'",
        "gone was deleted",
    }
    [(skipped,)] = await rows(api, "SELECT skipped FROM triggers")
    assert skipped == 3


async def test_inactive_trigger_starts_nothing_also_for_versions_that_wait(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy(on_artifact()))
    await publish(api, "v1")
    await api.triggers.update_triggers(UpdateTriggersRequest(names=[trigger_name()], active=False))
    await publish(api, "v2")

    assert await make_loop(api).run_once() == 0

    assert await queued(api) == 0
    assert not await firings(api)


async def test_runs_that_start_one_another_by_artifacts_end_after_some(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy(on_artifact()))
    await api.runs.create_run(create_run("first"))
    await claim_all(api, SystemClock().now())
    source, relations = "first", 0
    for hop in range(MOST_HOPS + 1):
        request = create_artifact("model", f"v{hop}", f"s3://somewhere/{hop}")
        request.spec.source.task_action.action.CopyFrom(action_id("a0", run=source))
        await api.artifacts.create_artifact(request)
        relations += await make_loop(api).run_once()
        assignments = await claim_all(api, SystemClock().now())
        for each in assignments:
            source = each.key.run.name
            await api.report(each, Phase.RUNNING, Phase.SUCCEEDED)

    assert relations == MOST_HOPS
    assert "would go on for ever" in (await firings(api))[0].message


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"artifact_name": "a/b"}, "automation_spec.artifact.artifact_name"),
        ({"version": "latest"}, "automation_spec.artifact.version"),
        ({"input_arg": "nothing"}, "the task has no input 'nothing'; there is raw, x"),
        ({"partition_input_args": {"raw": "date"}}, "has to be a string or a datetime"),
        ({"partitions": {str(each): "v" for each in range(17)}}, "at most 16 keys"),
        ({"input_arg": ""}, "the task needs 'raw'"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
async def test_bad_artifact_trigger_is_refused_with_the_field(
    api: ApiUnderTest, change: Mapping[str, Any], part: str
) -> None:
    request = deploy(on_artifact())
    artifact = request.triggers[0].automation_spec.artifact
    for field, value in change.items():
        if isinstance(value, dict):
            getattr(artifact, field).update(value)
        else:
            setattr(artifact, field, value)

    code, message = await refusal(api.tasks.deploy_task(request))

    assert (code, part in message) == (Code.INVALID_ARGUMENT, True), message


async def test_artifact_trigger_by_hand_needs_the_inputs_of_a_version(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy(on_artifact()))
    by_hand = CreateRunRequest(trigger_name=trigger_name())
    by_hand.run_id.CopyFrom(create_run("by-hand").run_id)

    code, message = await refusal(call(api, "FireTrigger", pb.FireTriggerRequest(**TRIGGER)))
    by_hand.inputs.CopyFrom(inputs(x=1, raw=2))
    await api.runs.create_run(by_hand)

    assert code is Code.INVALID_ARGUMENT
    assert "a version of artifact model gives raw" in message


async def test_trigger_that_changes_from_a_schedule_to_an_artifact_stops_its_schedule(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    await api.triggers.deploy_trigger(deploy_trigger())
    changed = deploy_trigger(automation=on_artifact(bind="when"))
    await api.triggers.deploy_trigger(changed)

    [found] = await rows(api, "SELECT fire_at, cron, artifact FROM triggers")
    assert found == (None, "", "model")


async def test_runs_of_many_versions_are_created_in_one_transaction(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy(on_artifact()))
    for number in range(40):
        await publish(api, f"v{number}")

    with counting_statements(api.database) as executed:
        assert await make_loop(api).run_once() == 40
    assert len([each for each in executed if "INSERT INTO runs " in each]) == 1
    assert len([each for each in executed if "INSERT INTO dispatches " in each]) == 1
    assert len(executed) < 40 * 5
    assert len(await firings(api)) == 40
    assert len(await claim_all(api, SystemClock().now())) == 40
    assert await queued(api) == 0


async def test_full_queue_refuses_some_versions_of_a_batch_until_there_is_room(
    api: ApiUnderTest,
) -> None:
    async with api.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="narrow", depth=3), SystemClock().now())
    request = deploy(on_artifact())
    request.triggers[0].spec.run_spec.queue = "narrow"
    await api.tasks.deploy_task(request)
    for number in range(5):
        await publish(api, f"v{number}")
    assert await make_loop(api).run_once() == 3
    assert await queued(api) == 2
    assert len(await claim_all(api, SystemClock().now())) == 3
    await make_due(api)
    assert await make_loop(api).run_once() == 2
    assert await queued(api) == 0
