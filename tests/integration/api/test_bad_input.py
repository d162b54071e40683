"""
Malformed requests of unknown clients are refused by the API with a code and a sentence on what to
change; the server stays up.
"""

import gzip
from typing import Any

import httpx
from connectrpc.code import Code
from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.workflow.run_service_pb2 import (
    AbortActionRequest,
    AbortRunRequest,
    CreateRunRequest,
    GetActionDetailsRequest,
    GetRunDetailsRequest,
    ListRunsRequest,
    WatchActionDetailsRequest,
)

from controlplane.api.wire import MAX_REQUEST_BYTES
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    enqueue,
    enqueue_condition,
    enqueue_trace,
    project_id,
    refusal,
    run_id,
    task_spec,
)

CREATE_RUN = "/flyteidl2.workflow.RunService/CreateRun"
HEADERS = {"content-type": "application/proto", "connect-protocol-version": "1"}


async def test_a_run_of_a_bad_name_is_refused(api: ApiUnderTest) -> None:
    for name in ("Up", "1st", "under_score", "dot.ted", "ends-", "a/b", "..", "r" * 31, "é", "r\0"):
        code, message = await refusal(api.runs.create_run(create_run(run_id=run_id(name))))

        assert code is Code.INVALID_ARGUMENT, name
        assert "run" in message


async def test_an_action_of_a_bad_name_is_refused(api: ApiUnderTest) -> None:
    for name in ("a/b", "..", "-a", "a" * 31, "a b", "a0\0"):
        code, message = await refusal(api.actions.enqueue(enqueue(api, name)))

        assert code is Code.INVALID_ARGUMENT, name
        assert "action" in message


async def test_the_root_cannot_be_enqueued(api: ApiUnderTest) -> None:
    code, message = await refusal(api.actions.enqueue(enqueue(api, "a0")))

    assert code is Code.INVALID_ARGUMENT
    assert "create a run" in message


async def test_unknown_objects_are_not_found(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    calls = [
        api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id("nobody"))),
        api.runs.get_action_details(GetActionDetailsRequest(action_id=action_id("nobody"))),
        api.runs.abort_run(AbortRunRequest(run_id=run_id("nobody"))),
        api.runs.abort_action(AbortActionRequest(action_id=action_id("nobody"))),
        anext(
            api.runs.watch_action_details(WatchActionDetailsRequest(action_id=action_id("nobody")))
        ),
    ]
    for call in calls:
        code, message = await refusal(call)
        assert code is Code.NOT_FOUND
        assert "nobody" in message


async def test_missing_oneofs_are_named(api: ApiUnderTest) -> None:
    code, message = await refusal(api.runs.create_run(CreateRunRequest()))

    assert code is Code.INVALID_ARGUMENT
    assert "id: exactly one" in message
    assert "task: exactly one" in message


async def test_a_field_that_breaks_a_rule_is_named_with_its_path(api: ApiUnderTest) -> None:
    request = enqueue(api, "c1")
    request.action.action_id.run.project = ""

    code, message = await refusal(api.actions.enqueue(request))

    assert code is Code.INVALID_ARGUMENT
    assert message == "action.action_id.run.project: must be at least 1 characters"


async def test_over_long_strings_and_nul_are_refused(api: ApiUnderTest) -> None:
    for field, value in (
        ("input_uri", "u" * 2049),
        ("input_uri", "\0"),
    ):
        request = enqueue(api, "c1")
        setattr(request.action, field, value)

        code, message = await refusal(api.actions.enqueue(request))

        assert code is Code.INVALID_ARGUMENT
        assert field in message


async def test_environment_that_no_process_can_have_is_refused_by_every_call(
    api: ApiUnderTest,
) -> None:
    spec = task_spec()
    spec.task_template.container.env.add(key="A=B", value="1")
    deployment = deploy()
    deployment.spec.CopyFrom(spec)
    run = create_run()
    run.run_spec.envs.values.add(key="SETTINGS", value="x" * 200_000)

    for call, name in (
        (api.runs.create_run(create_run(task_spec=spec)), "'A=B'"),
        (api.runs.create_run(run), "'SETTINGS' has 200010 bytes"),
        (api.tasks.deploy_task(deployment), "'A=B'"),
        (api.actions.enqueue(enqueue(api, "c1", spec=spec)), "'A=B'"),
    ):
        code, message = await refusal(call)
        assert code is Code.INVALID_ARGUMENT
        assert name in message
    # Nor has a refused run left its inputs behind.
    assert not await api.blobs.list_below(f"{api.blobs.base}/{ORG}", limit=1)


async def test_nul_in_what_lists_show_is_refused(api: ApiUnderTest) -> None:
    for spec in (task_spec("env.a\0b"), task_spec(version="v\0")):
        code, message = await refusal(api.runs.create_run(create_run(task_spec=spec)))
        assert code is Code.INVALID_ARGUMENT
        assert "NUL" in message


async def test_a_task_spec_too_large_to_store_is_refused(api: ApiUnderTest) -> None:
    spec = task_spec()
    spec.task_template.container.args.append("x" * 5_000_000)

    code, message = await refusal(api.runs.create_run(create_run(task_spec=spec)))

    assert code is Code.INVALID_ARGUMENT
    assert "bytes" in message


async def test_durations_out_of_range_are_refused(api: ApiUnderTest) -> None:
    spec = task_spec()
    spec.task_template.metadata.timeout.seconds = -1

    code, message = await refusal(api.runs.create_run(create_run(task_spec=spec)))

    assert code is Code.INVALID_ARGUMENT
    assert message.startswith("timeout")


async def test_traces_not_ended_and_conditions_of_unknown_types_are_refused(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())
    for request in (
        enqueue_trace("t1", phase=ActionPhase.ACTION_PHASE_RUNNING, output_uri="file:///x"),
        enqueue_condition("c1", SimpleType.DATETIME),
    ):
        code, _ = await refusal(api.actions.enqueue(request))
        assert code is Code.INVALID_ARGUMENT


BAD_LISTS: list[dict[str, Any]] = [
    {"limit": 201},
    {"token": "nonsense"},
    {"token": "djE6OTk5OTk5OTk5OTk5OTk5OTk5OTk"},
    {"filters": [Filter(field="secret", values=["x"])]},
    {"filters": [Filter(field="phase", values=["many"])]},
    {"filters": [Filter(field="phase", values=[str(2**63)])]},
    {"filters": [Filter(field="phase", function=Filter.CONTAINS, values=["1"])]},
    {"filters": [Filter(field="created_at", values=["yesterday"])]},
    {"filters": [Filter(field="created_at", values=["2026-01-01T00:00:00"])]},
    {"filters": [Filter(field="created_at", values=["0001-01-01T00:00:00+14:00"])]},
    {"filters": [Filter(field="task_name")]},
    {"filters": [Filter(field="task_name", values=["a\0"])]},
    {"filters": [Filter(field="labels.a\0", values=["x"])]},
    {"filters": [Filter(field="task_name", function=99, values=["x"])]},
    {"filters": [Filter(field="task_name", values=["x"])] * 51},
    {"filters": [Filter(field="task_name", function=Filter.VALUE_IN, values=["x"] * 201)]},
    {"sort_by_fields": [{"key": "'; DROP TABLE runs"}]},
    {"raw_filters": ["x"]},
]


async def test_malformed_list_request_is_refused(api: ApiUnderTest) -> None:
    for request in BAD_LISTS:
        code, message = await refusal(
            api.runs.list_runs(
                ListRunsRequest(project_id=project_id(), request=ListRequest(**request))
            )
        )

        assert code is Code.INVALID_ARGUMENT, request
        assert message


async def test_a_number_too_large_for_its_column_finds_nothing(api: ApiUnderTest) -> None:
    listed = await api.runs.list_runs(
        ListRunsRequest(
            project_id=project_id(),
            request=ListRequest(filters=[Filter(field="phase", values=["99999"])]),
        )
    )
    assert not listed.runs


async def test_org_of_a_message_is_overwritten_by_the_callers(api: ApiUnderTest) -> None:
    claimed = RunIdentifier(org="somebody-else", project=PROJECT, domain=DOMAIN, name="r1")
    made = await api.runs.create_run(create_run(run_id=claimed))

    assert made.run.action.id.run.org == "acme"


BAD_BYTES: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"\xff\xff", {}, 400, "not a flyteidl2.workflow.CreateRunRequest"),
    (b"{", {"content-type": "application/json"}, 400, "not a flyteidl2"),
    (b"[" * 100_000, {"content-type": "application/json"}, 400, "not a flyteidl2"),
    (b"plain", {"content-encoding": "gzip"}, 400, "not gzip"),
    (gzip.compress(b"abc")[:-4], {"content-encoding": "gzip"}, 400, "truncated"),
    (gzip.compress(bytes(2**28)), {"content-encoding": "gzip"}, 429, "larger"),
    (bytes(MAX_REQUEST_BYTES + 1), {}, 429, "larger"),
    (b"", {"content-encoding": "br"}, 501, "unknown compression"),
    (b"", {"content-type": "application/grpc"}, 415, "Connect"),
    (b"", {"content-type": "text/html"}, 415, ""),
    (b"", {"connect-timeout-ms": "soon"}, 400, "timeout"),
    (b"", {"x-request-id": "a b\tc"}, 400, "exactly one"),
]


async def test_malformed_request_bytes_are_refused(api: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=api.url) as http:
        for body, headers, status, words in BAD_BYTES:
            answer = await http.post(CREATE_RUN, content=body, headers=HEADERS | headers)

            assert answer.status_code == status, headers
            assert words in answer.text


async def test_header_that_is_not_utf8_is_refused(api: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=api.url) as http:
        answer = await http.post(
            CREATE_RUN,
            headers=[(b"content-type", b"application/proto"), (b"x-request-id", b"\xff\xfe")],
        )

    assert answer.status_code >= 400


async def test_an_rpc_that_does_not_exist_is_unimplemented(api: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=api.url) as http:
        for path in ("/flyteidl2.workflow.RunService/Nothing", "/flyteidl2.x/Y"):
            answer = await http.post(path, headers=HEADERS)
            assert answer.status_code == 404
            assert answer.json()["code"] == "unimplemented"
