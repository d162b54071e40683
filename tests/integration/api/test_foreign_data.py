"""No action and no run may name data of another org, whatever its URI looks like."""

import pytest
from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.task.run_pb2 import RawDataStorage, RunSpec
from flyteidl2.workflow.queue_service_pb2 import EnqueueActionRequest

from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.requests import create_run, enqueue, enqueue_trace, refusal


def foreign_uris(api: ApiUnderTest) -> list[str]:
    base = api.blobs.base
    return [
        f"{base}/another/flytesnacks/development/r1/a0/1/outputs.pb",
        f"{base}/{ORG}/../another/flytesnacks/development/r1/a0/1/outputs.pb",
        f"{base}/{ORG}-2/x/inputs.pb",
        f"{base}/{ORG}",
        "s3://elsewhere/inputs.pb",
        "file:///etc/passwd",
        "/etc/passwd",
    ]


async def test_enqueue_of_foreign_inputs_is_refused(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    for uri in foreign_uris(api):
        request = enqueue(api, "c1")
        request.action.input_uri = uri
        older = EnqueueActionRequest(
            action_id=request.action.action_id,
            parent_action_name="a0",
            input_uri=uri,
            run_output_base=request.action.run_output_base,
            task=request.action.task,
        )
        for call in (api.actions.enqueue(request), api.queue.enqueue_action(older)):
            code, message = await refusal(call)
            assert code is Code.INVALID_ARGUMENT, uri
            assert message.startswith("input_uri: must lie below ")
            assert f"/{ORG}/" in message


async def test_trace_with_foreign_outputs_is_refused(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    for uri in foreign_uris(api):
        trace = enqueue_trace("t1", phase=ActionPhase.ACTION_PHASE_SUCCEEDED, output_uri=uri)
        code, message = await refusal(api.actions.enqueue(trace))
        assert code is Code.INVALID_ARGUMENT, uri
        assert message.startswith("trace.outputs.output_uri: must lie below ")


async def test_run_with_foreign_inputs_or_base_is_refused(api: ApiUnderTest) -> None:
    for uri in foreign_uris(api):
        if uri.endswith(ORG):
            continue  # as a base it is the org's own
        for request in (
            create_run(offloaded_input_data=OffloadedInputData(uri=uri, inputs_hash="h")),
            create_run(run_spec=RunSpec(run_base_dir=uri)),
        ):
            code, message = await refusal(api.runs.create_run(request))
            assert code is Code.INVALID_ARGUMENT, uri
            assert "must lie below" in message


@pytest.mark.parametrize("where", ["another", "another/", f"{ORG}/../another", "", f"{ORG}-2"])
async def test_raw_data_in_another_orgs_part_of_the_store_is_refused(
    api: ApiUnderTest, where: str
) -> None:
    storage = RawDataStorage(raw_data_prefix=f"{api.blobs.base}/{where}")
    request = create_run(run_spec=RunSpec(raw_data_storage=storage))
    code, message = await refusal(api.runs.create_run(request))
    assert code is Code.INVALID_ARGUMENT
    assert message.startswith("run_spec.raw_data_storage.raw_data_prefix: must lie below ")


async def test_raw_data_may_go_to_a_bucket_of_the_callers(api: ApiUnderTest) -> None:
    for number, base in enumerate(("s3://mine/raw", f"{api.blobs.base}/{ORG}/raw")):
        storage = RawDataStorage(raw_data_prefix=base)
        await api.runs.create_run(
            create_run(f"r{number}", run_spec=RunSpec(raw_data_storage=storage))
        )
