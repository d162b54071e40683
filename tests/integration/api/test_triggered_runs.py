"""Runs of triggers by hand, and lists of the runs of a trigger."""

import pytest
from connectrpc.code import Code
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.trigger.trigger_service_pb2 import (
    DeleteTriggersRequest,
)
from flyteidl2.workflow.run_definition_pb2 import RunSource
from flyteidl2.workflow.run_service_pb2 import (
    CreateRunRequest,
    GetRunDetailsRequest,
    ListRunsRequest,
)

from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import create_run, project_id, refusal, run_id
from tests.integration.api.triggers import (
    deploy_scheduled,
    deploy_trigger,
    details,
    inputs,
    of_task,
    trigger_name,
)


async def test_inactive_trigger_is_run_by_hand_with_its_inputs_and_labels(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    request = deploy_trigger(active=False)
    request.spec.run_spec.labels.values["team"] = "data"
    await api.triggers.deploy_trigger(request)

    run = (
        await api.runs.create_run(CreateRunRequest(run_id=run_id(), trigger_name=trigger_name()))
    ).run

    metadata = run.action.metadata
    assert metadata.trigger_name == "nightly"
    assert (metadata.trigger_id.revision, metadata.trigger_id.name.task_name) == (1, "env.main")
    assert metadata.trigger_type.schedule.cron.expression == "* * * * *"
    assert metadata.source == RunSource.RUN_SOURCE_UNSPECIFIED
    assert run.labels == {"team": "data"}
    assert (await details(api)).status.HasField("triggered_at")
    [assignment] = await api.claim()
    body = Inputs.FromString(await api.blobs.read(assignment.input_uri, limit=10_000))
    assert body.literals[0].value.scalar.primitive.integer == 3
    assert {pair.key: pair.value for pair in body.context} == {"_u_kickoff_time_input_arg": "when"}


async def test_run_by_hand_with_inputs_and_settings_of_its_own_replaces_the_triggers(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    await api.triggers.deploy_trigger(deploy_trigger())
    uploaded = await api.data.upload_inputs(
        UploadInputsRequest(
            project_id=project_id(), trigger_name=trigger_name(), inputs=inputs(x=9)
        )
    )
    request = CreateRunRequest(
        run_id=run_id(),
        trigger_name=trigger_name(),
        offloaded_input_data=uploaded.offloaded_input_data,
    )
    request.run_spec.labels.values["own"] = "1"

    run = (await api.runs.create_run(request)).run

    assert run.labels == {"own": "1"}
    [assignment] = await api.claim()
    assert assignment.input_uri == uploaded.offloaded_input_data.uri


async def test_runs_of_a_trigger_are_listed(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task("a"), of_task("b")))
    for name in ("a", "b"):
        await api.runs.create_run(
            CreateRunRequest(run_id=run_id(f"of-{name}"), trigger_name=trigger_name(name))
        )
    await api.runs.create_run(create_run())

    listed = await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name("a")))

    assert [run.action.id.run.name for run in listed.runs] == ["of-a"]


async def test_run_of_a_deleted_or_foreign_trigger_is_not_created(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    elsewhere = CreateRunRequest(run_id=run_id(), trigger_name=trigger_name())
    elsewhere.run_id.domain = "production"
    code, message = await refusal(api.runs.create_run(elsewhere))
    assert code is Code.INVALID_ARGUMENT
    assert "project and domain" in message

    await api.triggers.delete_triggers(DeleteTriggersRequest(names=[trigger_name()]))

    code, message = await refusal(
        api.runs.create_run(CreateRunRequest(run_id=run_id(), trigger_name=trigger_name()))
    )
    assert code is Code.NOT_FOUND
    assert "nightly" in message
    code, _ = await refusal(api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id())))
    assert code is Code.NOT_FOUND


@pytest.mark.parametrize("source", [3, 5])
async def test_source_of_scheduled_runs_is_refused_from_callers(
    api: ApiUnderTest, source: int
) -> None:
    code, message = await refusal(api.runs.create_run(create_run(source=source)))

    assert code is Code.INVALID_ARGUMENT
    assert "source" in message
