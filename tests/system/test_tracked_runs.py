"""Runs that the SDK executes itself and reports: `flyte run --tracked`, and the library's."""

import asyncio
import contextlib
from pathlib import Path

import httpx
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import (
    ActionAttemptIdentifier,
    ActionIdentifier,
    RunIdentifier,
)
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.dataproxy.dataproxy_service_pb2 import ArtifactType, CreateDownloadLinkRequest
from flyteidl2.workflow.run_definition_pb2 import ActionType
from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    ListActionsRequest,
)
from flyteidl2.workflow.tracked_run_service_connect import TrackedRunServiceClient

from tests.system.api_client import ApiClient
from tests.system.commands import DOMAIN, PROJECT, Begun, Flyte

SUCCEEDED = ActionPhase.ACTION_PHASE_SUCCEEDED


def run_id(name: str) -> RunIdentifier:
    return RunIdentifier(project=PROJECT, domain=DOMAIN, name=name)


def root_of(name: str) -> ActionIdentifier:
    return ActionIdentifier(run=run_id(name), name="a0")


async def test_tracked_run_shows_what_ran_outside(api: ApiClient, flyte: Flyte) -> None:
    ended = flyte.script("tracked.py", "local-seen")  # strict: it fails if a report is refused
    assert "Ended: " in ended.text

    details = await api.details(root_of("local-seen"))
    assert details.status.phase == SUCCEEDED
    assert await api.outputs(details.id) == [[1, 11, 21]]
    listed = await TrackedRunServiceClient(api.url).list_actions(
        ListActionsRequest(run_id=run_id("local-seen"))
    )
    tasks = [
        each for each in listed.actions if each.metadata.action_type == ActionType.ACTION_TYPE_TASK
    ]
    assert sorted(each.metadata.task.id.name for each in tasks) == [
        *["tracked.child"] * 3,
        *("tracked.flaky", "tracked.main", "tracked.reporting"),
    ]
    children = [each for each in tasks if each.metadata.task.id.name == "tracked.child"]
    assert {each.metadata.group for each in children} == {"fan"}
    traces = [each for each in listed.actions if each.metadata.HasField("trace")]
    assert {each.metadata.parent for each in traces} == {each.id.name for each in children}
    [flaky] = [each for each in tasks if each.metadata.task.id.name == "tracked.flaky"]
    found = await api.details(flaky.id)
    assert "not at first" in found.attempts[0].error_info.message
    assert [each.phase for each in found.attempts] == [ActionPhase.ACTION_PHASE_FAILED, SUCCEEDED]
    [reporting] = [each for each in tasks if each.metadata.task.id.name == "tracked.reporting"]
    link = await api.data.create_download_link(
        CreateDownloadLinkRequest(
            artifact_type=ArtifactType.ARTIFACT_TYPE_REPORT,
            action_attempt_id=ActionAttemptIdentifier(action_id=reporting.id, attempt=1),
        )
    )
    async with httpx.AsyncClient() as client:
        page = await client.get(link.pre_signed_urls.signed_url[0])
    assert "<h1>version 2</h1>" in page.text

    assert "RUN_SOURCE_TRACKED" in flyte("get", "run", "local-seen").text


async def test_aborted_tracked_run_goes_on_outside_and_is_reported_no_more(
    api: ApiClient, flyte: Flyte, tmp_path: Path
) -> None:
    path = tmp_path / "go"
    begun = flyte.begin_script("tracked.py", "local-aborted", str(path))
    try:
        tracked = TrackedRunServiceClient(api.url)
        await until_it_waits(tracked, begun)
        await tracked.abort_run(AbortRunRequest(run_id=run_id("local-aborted"), reason="enough"))
        path.touch()

        assert begun.wait() != 0  # strict
    finally:
        begun.process.kill()
    assert "was aborted" in begun.text()
    details = await api.details(root_of("local-aborted"))
    assert details.status.phase == ActionPhase.ACTION_PHASE_ABORTED
    assert details.abort_info.reason == "enough"


async def until_it_waits(tracked: TrackedRunServiceClient, begun: Begun) -> None:
    """Wait until the run's task that waits for a file is shown as running."""
    for _ in range(600):
        with contextlib.suppress(ConnectError):  # not created yet
            listed = await tracked.list_actions(ListActionsRequest(run_id=run_id("local-aborted")))
            if any(each.metadata.task.id.name == "tracked.waiting" for each in listed.actions):
                return
        await asyncio.sleep(0.1)
    raise AssertionError(begun.text())


def test_command_reports_a_local_run(flyte: Flyte) -> None:
    ended = flyte(
        *("run", "--tracked", "--tracked-strict", "--name", "local-command"),
        *("hello.py", "main", "--name", "you"),
    )

    assert "greeting you" in ended.text
    assert "ACTION_PHASE_SUCCEEDED" in flyte("get", "run", "local-command").text
