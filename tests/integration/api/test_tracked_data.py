"""Data of tracked runs through the served API: inputs, outputs, reports, logs, cache status."""

from connectrpc.code import Code
from flyteidl2.common.identifier_pb2 import ActionAttemptIdentifier
from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.core.catalog_pb2 import CatalogCacheStatus
from flyteidl2.dataproxy import dataproxy_service_pb2 as data_pb
from flyteidl2.task.common_pb2 import Inputs, Outputs
from flyteidl2.workflow.run_definition_pb2 import RunSource

from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    refusal,
)
from tests.integration.api.test_uri_fields import hostile_uris, strangers
from tests.integration.api.tracked_requests import (
    RUN,
    SUCCEEDED,
    create_tracked,
    details,
    reported,
    update,
    uploads,
)


async def test_inputs_and_outputs_are_read_where_the_program_uploads_them(
    api: ApiUnderTest,
) -> None:
    inputs, outputs = Inputs(), Outputs()
    inputs.literals.add(name="x").value.scalar.primitive.integer = 3
    outputs.literals.add(name="o0").value.scalar.primitive.integer = 4
    place = f"{uploads(api)}/a0"
    await api.blobs.write(f"{place}/inputs.pb", inputs.SerializeToString())
    await api.blobs.write(f"{place}/1/outputs.pb", outputs.SerializeToString())
    offloaded = OffloadedInputData(uri=f"{place}/inputs.pb", inputs_hash="h")
    await api.tracked.create_run(create_tracked(offloaded_input_data=offloaded))
    await reported(
        api,
        update("a0", SUCCEEDED, has_outputs=True),
        update("c1", SUCCEEDED, parent="a0"),  # which uploaded none
    )

    request = data_pb.GetActionDataRequest(
        action_id=action_id(run=RUN), run_source=RunSource.RUN_SOURCE_TRACKED
    )
    answer = await api.data.get_action_data(request)
    assert (answer.inputs, answer.outputs) == (inputs, outputs)
    request.action_id.name = "c1"
    answer = await api.data.get_action_data(request)
    assert not answer.inputs.literals


async def test_data_of_a_tracked_run_is_not_that_of_another_with_its_name(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run("plain"))
    request = data_pb.GetActionDataRequest(
        action_id=action_id(run="plain"), run_source=RunSource.RUN_SOURCE_TRACKED
    )

    code, message = await refusal(api.data.get_action_data(request))

    assert (code, "tracked run" in message) == (Code.NOT_FOUND, True)


async def test_report_of_a_running_action_is_replaced(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update())
    place = data_pb.CreateUploadLocationRequest(
        project=PROJECT,
        domain=DOMAIN,
        content_md5=b"0" * 16,
        filename="report.html",
        filename_root=f"tracked-runs/{RUN}/a0/1",
    )
    await api.blobs.write(f"{uploads(api)}/a0/1/report.html", b"first")

    location = await api.data.create_upload_location(place)
    assert "If-None-Match" not in location.headers
    place.filename = "outputs.pb"
    assert (await api.data.create_upload_location(place)).headers["If-None-Match"] == "*"

    link = await api.data.create_download_link(
        data_pb.CreateDownloadLinkRequest(
            artifact_type=data_pb.ArtifactType.ARTIFACT_TYPE_REPORT,
            action_attempt_id=ActionAttemptIdentifier(action_id=action_id(run=RUN), attempt=1),
        )
    )
    assert f"tracked-runs/{RUN}/a0/1/report.html" in link.pre_signed_urls.signed_url[0]


async def test_inputs_of_a_tracked_run_lie_in_its_org(api: ApiUnderTest) -> None:
    for uri in (*hostile_uris(api), *strangers(api)):
        offloaded = OffloadedInputData(uri=uri, inputs_hash="h")
        code, message = await refusal(
            api.tracked.create_run(create_tracked(offloaded_input_data=offloaded))
        )
        assert (code, "must lie below" in message) == (Code.INVALID_ARGUMENT, True), uri


async def test_cache_status_that_the_program_reports_is_shown(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    hit = CatalogCacheStatus.CACHE_HIT
    await reported(api, update("c1", SUCCEEDED, parent="a0", cache=hit))

    assert (await details(api, "c1")).status.cache_status == hit


async def test_log_of_a_tracked_run_is_where_its_program_runs(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update())
    lines = api.data.tail_logs(data_pb.TailLogsRequest(action_id=action_id(run=RUN), attempt=1))

    code, message = await refusal(anext(lines))

    assert (code, "where its program runs" in message) == (Code.NOT_FOUND, True)
