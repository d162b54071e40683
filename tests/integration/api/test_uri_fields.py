"""
Every URI in every message of the API is held to what its caller's org may read, or is no URI of the store.

The fields are found in flyteidl2's descriptors, so that a new one fails here until it is held.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.cacheservice.cacheservice_pb2 import CachedOutput, PutCacheRequest as PutByKey
from flyteidl2.cacheservice.v2.cacheservice_pb2 import PutCacheRequest
from flyteidl2.common.identifier_pb2 import ActionAttemptIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.dataproxy import dataproxy_service_pb2 as data_pb
from flyteidl2.task.run_pb2 import RawDataStorage, RunSpec
from flyteidl2.workflow.queue_service_pb2 import EnqueueActionRequest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from controlplane.api import server
from controlplane.api.permissions import PERMISSIONS, Access
from controlplane.store.dispatch.reports import apply_reports
from shared.idl.agent.v1 import report_pb2
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from shared.model.reports import Report
from tests.integration.api.client import CLUSTER, DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.flyte_requests import cache_place
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    enqueue,
    enqueue_trace,
    project_id,
    task_spec,
)

_NAMED = re.compile(r"uri|url|prefix|base|path|bundle|storage|location")
_Field = tuple[str, str]
_Make = Callable[[ApiUnderTest, str], Awaitable[Message]]


def _enqueue(api: ApiUnderTest, uri: str) -> Awaitable[Message]:
    request = enqueue(api, "c1")
    request.action.input_uri = uri
    made: Awaitable[Message] = api.actions.enqueue(request)
    return made


def _enqueue_older(api: ApiUnderTest, uri: str) -> Awaitable[Message]:
    action = enqueue(api, "c1").action
    request = EnqueueActionRequest(
        action_id=action.action_id,
        parent_action_name="a0",
        input_uri=uri,
        run_output_base=action.run_output_base,
        task=action.task,
    )
    made: Awaitable[Message] = api.queue.enqueue_action(request)
    return made


def _trace(api: ApiUnderTest, uri: str) -> Awaitable[Message]:
    request = enqueue_trace("t1", phase=ActionPhase.ACTION_PHASE_SUCCEEDED, output_uri=uri)
    made: Awaitable[Message] = api.actions.enqueue(request)
    return made


def _run(api: ApiUnderTest, **fields: Any) -> Awaitable[Message]:
    made: Awaitable[Message] = api.runs.create_run(create_run("r2", **fields))
    return made


def _bundle(api: ApiUnderTest, uri: str) -> Awaitable[Message]:
    spec = task_spec()
    spec.task_template.metadata.code_bundle_uri = uri
    return _run(api, task_spec=spec)


def _upload(api: ApiUnderTest, uri: str) -> Awaitable[Message]:
    request = data_pb.UploadInputsRequest(
        project_id=project_id(), task_spec=task_spec(), base_dir=uri
    )
    made: Awaitable[Message] = api.data.upload_inputs(request)
    return made


def _put(api: ApiUnderTest, uri: str) -> Awaitable[Message]:
    entry = PutByKey(key="k", output=CachedOutput(output_uri=uri))
    made: Awaitable[Message] = api.cache.put(
        PutCacheRequest(identifier=cache_place(), base_request=entry)
    )
    return made


HELD: Mapping[_Field, _Make] = {
    ("flyteidl2.cacheservice.CachedOutput", "output_uri"): _put,
    ("flyteidl2.actions.Action", "input_uri"): _enqueue,
    ("flyteidl2.workflow.EnqueueActionRequest", "input_uri"): _enqueue_older,
    ("flyteidl2.task.OutputReferences", "output_uri"): _trace,
    ("flyteidl2.common.OffloadedInputData", "uri"): lambda api, uri: _run(
        api, offloaded_input_data=OffloadedInputData(uri=uri, inputs_hash="h")
    ),
    ("flyteidl2.task.RunSpec", "run_base_dir"): lambda api, uri: _run(
        api, run_spec=RunSpec(run_base_dir=uri)
    ),
    ("flyteidl2.task.RawDataStorage", "raw_data_prefix"): lambda api, uri: _run(
        api, run_spec=RunSpec(raw_data_storage=RawDataStorage(raw_data_prefix=uri))
    ),
    ("flyteidl2.dataproxy.UploadInputsRequest", "base_dir"): _upload,
    ("flyteidl2.core.TaskMetadata", "code_bundle_uri"): _bundle,
}
"""Fields that name a place of the store, and a call with one."""

IN_VALUES = "a value of a task: only the task, or its agent's signer within the org, reads it"
NOT_READ = "ignored by this release"
IN_POD = "a path within the task's own pod"
FOR_BROWSERS = "a link that is shown, and never opened here"

OTHER_FIELDS: Mapping[_Field, str] = {
    ("flyteidl2.actions.Action", "run_output_base"): (
        "where the error of a failed trace is looked for; nothing is read outside of the org"
    ),
    ("flyteidl2.workflow.EnqueueActionRequest", "run_output_base"): (
        "where the error of a failed trace is looked for; nothing is read outside of the org"
    ),
    ("flyteidl2.common.UserSpec", "photo_url"): NOT_READ,
    ("flyteidl2.core.ArtifactCard", "uri"): FOR_BROWSERS,
    ("flyteidl2.core.ArtifactQuery", "uri"): NOT_READ,
    ("flyteidl2.core.Blob", "uri"): IN_VALUES,
    ("flyteidl2.core.DataLoadingConfig", "input_path"): IN_POD,
    ("flyteidl2.core.DataLoadingConfig", "output_path"): IN_POD,
    ("flyteidl2.core.LiteralOffloadedMetadata", "uri"): IN_VALUES,
    ("flyteidl2.core.Schema", "uri"): IN_VALUES,
    ("flyteidl2.core.SharedMemory", "mount_path"): IN_POD,
    ("flyteidl2.core.StructuredDataset", "uri"): IN_VALUES,
    ("flyteidl2.core.TaskLog", "icon_uri"): FOR_BROWSERS,
    ("flyteidl2.core.TaskLog", "uri"): FOR_BROWSERS,
    ("flyteidl2.notification.WebhookDeliveryTemplate", "url"): (
        "an address of the receiver, which only the guard of outbound requests opens"
    ),
    ("flyteidl2.task.OutputReferences", "report_uri"): NOT_READ,
    **{
        ("flyteidl2.core.LogContext", field): "of an action that a program reports; not kept"
        for field in ("pod_name_prefix", "pod_name_prefixes")
    },
    ("flyteidl2.workflow.ConditionWebhook", "url"): (
        "an address of the receiver, which only the guard of outbound requests opens"
    ),
    ("flyteidl2.workflow.LiteralsToLaunchFormJsonRequest", "literals_uri"): (
        "read only if it is that of the inputs of the action that the request names"
    ),
}

REPORTED = {"output_uri", "report_uri", "log_uri"}
NOT_READ_OF_REPORTS = {"full_uri", "uri"}
"""Of an error's full text and of links to logs: shown to people, never read."""


def _walk(descriptor: Any, seen: tuple[str, ...] = ()) -> Iterator[_Field]:
    if descriptor.full_name in seen or descriptor.full_name.startswith("google."):
        return
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from _walk(field.message_type, (*seen, descriptor.full_name))
        elif field.type == FieldDescriptor.TYPE_STRING and _NAMED.search(field.name):
            yield descriptor.full_name, field.name


def fields_of_requests() -> set[_Field]:
    """Return the string fields of all Flyte's served requests that could be URIs, by their names."""
    return {
        field
        for service in server.services()
        for method in service.methods
        if service.full_name.startswith("flyteidl2.")
        and PERMISSIONS[service.full_name][method.name] is not Access.UNBUILT
        for field in _walk(method.input_type)
    }


def hostile_uris(api: ApiUnderTest) -> list[str]:
    base = api.blobs.base
    rest = f"{PROJECT}/{DOMAIN}/r1/a0/1/outputs.pb"
    return [
        f"{base}/another/{rest}",
        f"{base}/{ORG}/../another/{rest}",
        f"{base}/{ORG}/%2e%2e/another/{rest}",
        f"{base}/{ORG}/..%2Fanother/{rest}",
        f"{base}/{ORG}/%252e%252e/another/{rest}",
        f"{base}/{ORG}/..\\another\\{rest}",
        f"{base}/{ORG}-2/{rest}",
        f"{base.replace('file:', 'FILE:')}/another/{rest}",
        f"{base.replace('file://', 'file://localhost')}/another/{rest}",
        f"{base.removeprefix('file://')}/another/{rest}",
    ]


def strangers(api: ApiUnderTest) -> list[str]:
    """Places of no store of ours, which the control plane must not read either."""
    del api
    return [
        "s3://elsewhere/inputs.pb",
        "gs://elsewhere/inputs.pb",
        "https://elsewhere.example/inputs.pb",
        "file:///etc/passwd",
        "/etc/passwd",
    ]


MAY_BE_ELSEWHERE = {
    # The caller's own buckets: tasks write there with their own access.
    ("flyteidl2.task.RawDataStorage", "raw_data_prefix"),
}


def test_every_uri_field_of_a_request_is_held_or_is_no_place_of_the_store() -> None:
    assert set(HELD).isdisjoint(OTHER_FIELDS)
    assert set(HELD) | set(OTHER_FIELDS) == fields_of_requests()


@pytest.mark.parametrize("field", sorted(HELD), ids=".".join)
async def test_uri_of_another_org_is_refused_however_it_is_spelt(
    api: ApiUnderTest, field: _Field
) -> None:
    await api.runs.create_run(create_run())
    uris = hostile_uris(api) + ([] if field in MAY_BE_ELSEWHERE else strangers(api))
    for uri in uris:
        code, message = await _refusal(HELD[field](api, uri), uri)
        assert code in {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION}, (uri, message)
        assert "must lie below" in message or "is outside" in message, (uri, message)


async def test_deployed_task_names_no_code_of_another_org(api: ApiUnderTest) -> None:
    for uri in hostile_uris(api) + strangers(api):
        request = deploy()
        request.spec.task_template.metadata.code_bundle_uri = uri
        code, _ = await _refusal(api.tasks.deploy_task(request), uri)
        assert code is Code.FAILED_PRECONDITION, uri


def test_every_uri_of_a_report_is_known() -> None:
    found = {name for _, name in _walk(report_pb2.Report.DESCRIPTOR)}
    assert found == REPORTED | NOT_READ_OF_REPORTS


def _read(api: ApiUnderTest, field: str) -> Awaitable[object]:
    attempt = ActionAttemptIdentifier(action_id=action_id(), attempt=1)
    match field:
        case "output_uri":
            made = api.data.get_action_data(data_pb.GetActionDataRequest(action_id=action_id()))
        case "report_uri":
            made = api.data.create_download_link(
                data_pb.CreateDownloadLinkRequest(
                    artifact_type=data_pb.ARTIFACT_TYPE_REPORT, action_attempt_id=attempt
                )
            )
        case _:
            logs = api.data.tail_logs(data_pb.TailLogsRequest(action_id=action_id(), attempt=1))
            made = anext(logs)
    read: Awaitable[object] = made
    return read


@pytest.mark.parametrize("field", sorted(REPORTED))
@pytest.mark.parametrize("number", range(15))
async def test_uri_that_an_agent_reports_is_not_read_outside_of_the_org(
    api: ApiUnderTest, field: str, number: int
) -> None:
    uri = (hostile_uris(api) + strangers(api))[number]
    await api.runs.create_run(create_run())
    [assignment] = await api.claim()
    await api.blobs.write(assignment.input_uri or f"{api.blobs.base}/{ORG}/x", b"")
    await _report(api, assignment, **{field: uri})

    code, message = await _refusal(_read(api, field), uri)
    assert code is Code.FAILED_PRECONDITION, message
    assert "outside" in message


async def _report(api: ApiUnderTest, assignment: Assignment, **uris: str) -> None:
    given: dict[str, Any] = {"output_uri": assignment.output_prefix, **uris}
    reports = [
        Report(
            attempt=assignment.attempt,
            lease=assignment.lease,
            version=version,
            phase=phase,
            at=assignment.run_started_at,
            **(given if phase is Phase.SUCCEEDED else {}),
        )
        for version, phase in enumerate((Phase.RUNNING, Phase.SUCCEEDED), start=1)
    ]
    async with api.database.for_org(ORG) as tx:
        await apply_reports(tx, CLUSTER, reports, assignment.run_started_at)


async def _refusal(call: Awaitable[object], uri: str) -> tuple[Code, str]:
    try:
        answer = await call
    except ConnectError as error:
        return error.code, error.message
    raise AssertionError(f"{uri} was not refused: {answer}")
