"""The data proxy returns an action's inputs, outputs, report and code, to its own org only."""

from datetime import datetime

import pytest
from flyteidl2.core.interface_pb2 import TypedInterface, VariableEntry, VariableMap
from flyteidl2.core.tasks_pb2 import TaskMetadata, TaskTemplate
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    ArtifactType,
    CreateDownloadLinkRequest,
    GetActionDataRequest,
    GetActionDataResponse,
)
from flyteidl2.task.task_definition_pb2 import TaskSpec

from controlplane.core.actions import ActionType, TraceInfo
from controlplane.core.callers import Caller
from controlplane.core.errors import ExhaustedError, NotFoundError, NotReadyError
from controlplane.store.resources.actions import signal
from controlplane.usecases.data import MAX_PAYLOAD_BYTES
from shared.model.ids import ActionName, RunId
from shared.model.phases import Phase
from tests.contract.blobs.world import (
    CALLER,
    STRANGER,
    World,
    action_id,
    attempt_id,
    make_inputs,
    make_literal,
    make_outputs,
)
from tests.factories import NOW, ORG

ONE_OUTPUT = TaskSpec(
    task_template=TaskTemplate(
        interface=TypedInterface(outputs=VariableMap(variables=[VariableEntry(key="o0")]))
    )
).SerializeToString()
NO_OUTPUTS = TaskSpec(short_name="sleep").SerializeToString()
REPORT = b"<html><script>alert(1)</script></html>"


async def get(world: World, name: str = "a0", caller: Caller = CALLER) -> GetActionDataResponse:
    return await world.proxy.get_action_data(
        caller, GetActionDataRequest(action_id=action_id(name))
    )


async def keep_inputs(world: World) -> str:
    uri = f"{world.own}/p/development/inputs/x/inputs.pb"
    await world.blobs.write(uri, make_inputs(x=1).SerializeToString())
    return uri


async def test_action_data_of_running_action_has_inputs(world: World) -> None:
    uri = await keep_inputs(world)
    await world.run(input_uri=uri)

    data = await get(world)

    assert data.inputs == make_inputs(x=1)
    assert data.inputs_uri == uri
    assert not data.HasField("outputs")


async def test_action_data_of_succeeded_action_has_inputs_and_outputs(world: World) -> None:
    assignment = await world.run(input_uri=await keep_inputs(world))
    outputs_uri = f"{assignment.output_prefix}/outputs.pb"
    await world.blobs.write(outputs_uri, make_outputs(o0=2).SerializeToString())
    await world.end(assignment, Phase.SUCCEEDED)

    data = await get(world)

    assert data.inputs == make_inputs(x=1)
    assert data.outputs == make_outputs(o0=2)
    assert data.outputs_uri == outputs_uri


async def test_action_data_treats_empty_outputs_file_as_no_outputs(world: World) -> None:
    assignment = await world.run(input_uri=await keep_inputs(world))
    await world.blobs.write(f"{assignment.output_prefix}/outputs.pb", b"")
    await world.end(assignment, Phase.SUCCEEDED)

    assert (await get(world)).outputs == make_outputs()


async def test_action_data_of_failed_action_has_inputs(world: World) -> None:
    assignment = await world.run(input_uri=await keep_inputs(world))
    await world.end(assignment, Phase.ABORTED)

    data = await get(world)

    assert data.inputs == make_inputs(x=1)
    assert not data.HasField("outputs")


async def test_action_data_names_a_deleted_blob(world: World) -> None:
    assignment = await world.run(
        input_uri=f"{world.own}/p/development/inputs/gone/inputs.pb", body=ONE_OUTPUT
    )
    with pytest.raises(NotFoundError, match="inputs of action p/development/r1/a0 not found"):
        await get(world)

    await world.blobs.write(
        f"{world.own}/p/development/inputs/gone/inputs.pb", make_inputs().SerializeToString()
    )
    await world.end(assignment, Phase.SUCCEEDED)
    with pytest.raises(NotFoundError, match="outputs of action p/development/r1/a0") as refusal:
        await get(world)
    assert "inputs" not in str(refusal.value).replace("outputs", "")


async def test_action_data_of_task_without_outputs_needs_no_outputs_file(world: World) -> None:
    assignment = await world.run(input_uri=await keep_inputs(world), body=NO_OUTPUTS)
    await world.end(assignment, Phase.SUCCEEDED)

    assert (await get(world)).outputs == make_outputs()


async def test_action_data_reports_invalid_protobuf(world: World) -> None:
    uri = f"{world.own}/p/development/inputs/bad/inputs.pb"
    await world.blobs.write(uri, b"this is not a protobuf")
    await world.run(input_uri=uri)

    with pytest.raises(NotReadyError, match=r"bad/inputs\.pb are not a flyteidl2\.task\.Inputs"):
        await get(world)


async def test_action_data_over_the_limit_is_not_read(world: World) -> None:
    uri = f"{world.own}/p/development/inputs/large/inputs.pb"
    await world.blobs.write(uri, bytes(MAX_PAYLOAD_BYTES + 1))
    await world.run(input_uri=uri)

    with pytest.raises(ExhaustedError, match="too large to show"):
        await get(world)


async def test_action_data_of_trace_reads_its_output_file(world: World) -> None:
    await world.run(input_uri=await keep_inputs(world))
    base = f"{world.own}/p/development/r1/traced"
    await world.blobs.write(f"{base}/inputs.pb", make_inputs(x=4).SerializeToString())
    await world.blobs.write(f"{base}/outputs.pb", make_outputs(o0=5).SerializeToString())
    done = TraceInfo(
        phase=Phase.SUCCEEDED, started_at=NOW, ended_at=NOW, output_uri=f"{base}/outputs.pb"
    )
    await world.enqueue("traced", ActionType.TRACE, trace=done)

    data = await get(world, "traced")

    assert (data.inputs, data.outputs) == (make_inputs(x=4), make_outputs(o0=5))
    assert data.outputs_uri == f"{base}/outputs.pb"


async def test_action_data_of_condition_has_its_signal_value(world: World) -> None:
    run = await world.create_run()
    await world.enqueue("ask", ActionType.CONDITION)
    assert (await get(world, "ask")) == GetActionDataResponse()

    await answer_condition(world, run, "ask")

    assert (await get(world, "ask")).outputs == make_outputs(o0=3)


async def answer_condition(world: World, run: RunId, name: str) -> None:
    async with world.database.for_org(ORG) as tx:
        value = make_literal(3).SerializeToString()
        await signal(tx, run, ActionName(name), value=value, by="ada", now=NOW)


@pytest.mark.parametrize("elsewhere", ["{base}/rival/secret.pb", "{own}/../rival/secret.pb"])
async def test_action_data_rejects_uri_of_another_org(world: World, elsewhere: str) -> None:
    await world.blobs.write(
        f"{world.blobs.base}/rival/secret.pb", make_inputs(x=1).SerializeToString()
    )
    uri = elsewhere.format(base=world.blobs.base, own=world.own)
    bundled = TaskSpec(task_template=TaskTemplate(metadata=TaskMetadata(code_bundle_uri=uri)))
    await world.create_run(input_uri=uri, body=bundled.SerializeToString())

    with pytest.raises(NotReadyError, match="outside"):
        await get(world)
    with pytest.raises(NotReadyError, match="outside"):
        await link(world, ArtifactType.ARTIFACT_TYPE_CODE_BUNDLE)


async def test_action_data_of_another_org_is_not_found(world: World) -> None:
    await world.run(input_uri=await keep_inputs(world))

    with pytest.raises(NotFoundError):
        await get(world, caller=STRANGER)


async def link(world: World, kind: "ArtifactType.ValueType", attempt: int = 1) -> str:
    answer = await world.proxy.create_download_link(
        CALLER, CreateDownloadLinkRequest(artifact_type=kind, action_attempt_id=attempt_id(attempt))
    )
    expires_at: datetime = answer.pre_signed_urls.expires_at.ToDatetime()
    assert expires_at.microsecond == 0
    [url] = answer.pre_signed_urls.signed_url
    return str(url)


async def test_report_link_is_served_during_and_after_the_attempt(world: World) -> None:
    assignment = await world.run()
    with pytest.raises(NotFoundError, match="report of attempt 1"):
        await link(world, ArtifactType.ARTIFACT_TYPE_REPORT)

    await world.blobs.write(f"{assignment.output_prefix}/report.html", REPORT)
    running = await world.http.get(await link(world, ArtifactType.ARTIFACT_TYPE_REPORT))
    await world.end(assignment, Phase.SUCCEEDED)
    ended = await world.http.get(await link(world, ArtifactType.ARTIFACT_TYPE_REPORT))

    assert (running.content, ended.content) == (REPORT, REPORT)
    with pytest.raises(NotFoundError, match="attempt 2 of action"):
        await link(world, ArtifactType.ARTIFACT_TYPE_REPORT, attempt=2)


async def test_code_bundle_link_is_served(world: World) -> None:
    uri = f"{world.own}/uploads/p/development/md5/fast.tar.gz"
    await world.blobs.write(uri, b"code")
    spec = TaskSpec(task_template=TaskTemplate(metadata=TaskMetadata(code_bundle_uri=uri)))
    await world.create_run(body=spec.SerializeToString())

    answer = await world.http.get(await link(world, ArtifactType.ARTIFACT_TYPE_CODE_BUNDLE))

    assert (answer.status_code, answer.content) == (200, b"code")


async def test_code_bundle_link_is_absent_for_code_in_the_image(world: World) -> None:
    await world.create_run(body=TaskSpec(short_name="t").SerializeToString())

    with pytest.raises(NotFoundError, match="code bundle of action"):
        await link(world, ArtifactType.ARTIFACT_TYPE_CODE_BUNDLE)
