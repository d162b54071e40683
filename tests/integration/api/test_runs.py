"""
Runs through the served API: created, shown, listed, watched, aborted.
"""

import re

import httpx
from connectrpc.code import Code
from flyteidl2.common.identifier_pb2 import ProjectIdentifier
from flyteidl2.common.list_pb2 import Filter, ListRequest, Sort
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.common.run_pb2 import RelationType
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.workflow.run_definition_pb2 import ClusterEvent as ClusterEventMessage, ErrorInfo
from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    CreateRunRequest,
    GetActionDataRequest,
    GetActionDataURIsRequest,
    GetActionDetailsRequest,
    GetActionLogContextRequest,
    GetRunDetailsRequest,
    ListRunsRequest,
    WatchActionDetailsRequest,
    WatchRunDetailsRequest,
    WatchRunsRequest,
)
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.queues import QueueChange
from controlplane.usecases.queues import Queues
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, EventType, Failure, FailureKind, LogLink
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    project_id,
    refusal,
    run_id,
    task_id,
    task_spec,
)


async def test_created_run_has_the_fields_that_the_sdk_reads(api: ApiUnderTest) -> None:
    made = (await api.runs.create_run(create_run())).run

    assert made.action.id.run.org == ORG
    assert made.action.id.run.name == "r1"
    assert made.action.id.name == "a0"
    details = (await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id()))).details
    action = details.action
    assert action.status.phase == ActionPhase.ACTION_PHASE_QUEUED
    assert action.status.attempts == 1
    assert action.status.HasField("start_time")
    assert action.metadata.task.id.name == "env.main"
    assert action.metadata.task.task_type == "python"
    assert action.metadata.environment_name == "env"
    assert action.task.task_template.container.image == "image"
    assert action.task.task_template.id.org == ORG


async def test_a_run_without_a_name_is_given_one(api: ApiUnderTest) -> None:
    request = CreateRunRequest(project_id=project_id(), task_spec=task_spec())

    name = (await api.runs.create_run(request)).run.action.id.run.name

    assert re.fullmatch(r"r[0-9a-z]{19}", name)


async def test_a_run_of_a_deployed_task_has_its_spec(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy(retries=3))

    await api.runs.create_run(CreateRunRequest(run_id=run_id(), task_id=task_id()))

    found = await api.runs.get_action_details(GetActionDetailsRequest(action_id=action_id()))
    assert found.details.task.task_template.metadata.retries.retries == 3


async def test_creating_the_same_run_twice_gives_the_same_run(api: ApiUnderTest) -> None:
    first = await api.runs.create_run(create_run())
    again = await api.runs.create_run(create_run())

    assert again.run.action.id == first.run.action.id
    assert again.run.action.status.start_time == first.run.action.status.start_time


async def test_creating_another_run_of_the_same_name_is_refused(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())

    code, message = await refusal(api.runs.create_run(create_run(task_spec=task_spec("env.other"))))

    assert code is Code.ALREADY_EXISTS
    assert "r1" in message


async def test_inline_inputs_are_kept_and_shown(api: ApiUnderTest) -> None:
    inputs = Inputs()
    inputs.literals.add(name="x").value.scalar.primitive.integer = 7

    await api.runs.create_run(create_run(inputs=inputs))

    data = await api.runs.get_action_data(GetActionDataRequest(action_id=action_id()))
    assert data.inputs.literals[0].value.scalar.primitive.integer == 7
    uris = await api.runs.get_action_data_u_r_is(GetActionDataURIsRequest(action_id=action_id()))
    assert uris.inputs_uri.startswith(api.blobs.base)
    assert uris.outputs_uri == ""


async def test_run_that_a_task_starts_records_its_parent(api: ApiUnderTest) -> None:
    parent = (await api.runs.create_run(create_run("parent"))).run.action.id.run
    spawned = create_run("spawned")
    spawned.run_spec.relation.related_to.CopyFrom(parent)
    spawned.run_spec.relation.relation_type = RelationType.RELATION_TYPE_SPAWN
    await api.runs.create_run(spawned)
    rerun = create_run("rerun")
    rerun.run_spec.relation.related_to.CopyFrom(parent)
    rerun.run_spec.relation.relation_type = RelationType.RELATION_TYPE_RERUN
    await api.runs.create_run(rerun)
    async with api.database.for_org(ORG) as tx:
        rows = await tx.rows(
            text(
                "SELECT r.run, p.run AS parent FROM runs r LEFT JOIN runs p"
                " ON p.org = r.org AND p.run_id = r.spawned_by ORDER BY r.run"
            )
        )
    assert {row.run: row.parent for row in rows} == {
        "parent": None,
        "rerun": None,
        "spawned": "parent",
    }


async def test_offloaded_inputs_of_another_org_are_refused(api: ApiUnderTest) -> None:
    request = create_run()
    request.offloaded_input_data.uri = f"{api.blobs.base}/acme/../other/inputs.pb"
    request.offloaded_input_data.inputs_hash = "h"

    code, message = await refusal(api.runs.create_run(request))

    assert code is Code.INVALID_ARGUMENT
    assert "offloaded_input_data.uri" in message


async def test_a_run_in_an_unknown_project_or_domain_is_refused(api: ApiUnderTest) -> None:
    for project, domain in (("nowhere", DOMAIN), (PROJECT, "nowhere")):
        request = CreateRunRequest(
            project_id=ProjectIdentifier(name=project, domain=domain), task_spec=task_spec()
        )
        code, message = await refusal(api.runs.create_run(request))
        assert code is Code.NOT_FOUND
        assert "nowhere" in message


async def test_run_in_an_unknown_queue_names_the_command_that_makes_it(api: ApiUnderTest) -> None:
    request = create_run()
    request.run_spec.queue = "gpu"

    code, message = await refusal(api.runs.create_run(request))

    assert code is Code.NOT_FOUND
    assert "volary queue set gpu" in message


async def test_a_failed_run_shows_its_error_on_the_action_and_on_the_attempt(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())
    failure = Failure(code="ValueError", kind=FailureKind.USER, message="x must be positive")
    await api.finish(Phase.FAILED, failure)

    found = await api.runs.get_action_details(GetActionDetailsRequest(action_id=action_id()))

    assert found.details.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert found.details.error_info.code == "ValueError"
    assert found.details.error_info.kind == ErrorInfo.KIND_USER
    attempt = found.details.attempts[0]
    assert attempt.attempt == 1
    assert attempt.error_info.message == "x must be positive"
    assert [change.phase for change in attempt.phase_transitions][-1] == Phase.FAILED.value


async def test_links_to_logs_elsewhere_stay_with_their_attempt(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    [assignment] = await api.claim()
    link = LogLink("Cloud", "https://cloud/logs")
    await api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED, log_links=[link])

    found = await api.runs.get_action_details(GetActionDetailsRequest(action_id=action_id()))

    [shown] = found.details.attempts[0].log_info
    assert (shown.name, shown.uri, shown.ready) == ("Cloud", "https://cloud/logs", True)


async def test_cluster_event_has_its_type_count_and_source(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    [assignment] = await api.claim()
    reported = ClusterEvent(
        at=SystemClock().now(),
        reason="BackOff",
        message="restarting",
        type=EventType.WARNING,
        count=4,
        source="kubelet",
    )
    await api.report(assignment, Phase.RUNNING, events=[reported])

    found = await api.runs.get_action_details(GetActionDetailsRequest(action_id=action_id()))

    [event] = found.details.attempts[0].cluster_events
    assert (event.reason, event.message) == ("BackOff", "restarting")
    assert event.type == ClusterEventMessage.TYPE_WARNING
    assert (event.count, event.source_component) == (4, "kubelet")


async def test_a_succeeded_run_names_its_outputs(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    await api.finish()

    uris = await api.runs.get_action_data_u_r_is(GetActionDataURIsRequest(action_id=action_id()))

    assert uris.outputs_uri == f"{api.blobs.base}/acme/{PROJECT}/{DOMAIN}/r1/a0/1/outputs.pb"
    context = await api.runs.get_action_log_context(
        GetActionLogContextRequest(action_id=action_id(), attempt=1)
    )
    assert context.cluster == "local"
    [pod] = context.log_context.pods
    [container] = pod.containers
    assert pod.pod_name == context.log_context.primary_pod_name
    assert container.container_name == pod.primary_container_name == "primary"
    assert container.process.container_start_time == context.start_time
    assert container.process.container_end_time == context.end_time


async def test_an_aborted_run_says_why_and_aborting_it_again_changes_nothing(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())

    await api.runs.abort_run(AbortRunRequest(run_id=run_id(), reason="wrong data"))
    await api.runs.abort_run(AbortRunRequest(run_id=run_id(), reason="second thoughts"))

    found = await api.runs.get_action_details(GetActionDetailsRequest(action_id=action_id()))
    assert found.details.status.phase == ActionPhase.ACTION_PHASE_ABORTED
    assert found.details.abort_info.reason == "wrong data"
    assert found.details.abort_info.aborted_by.user.id.subject == "anonymous"


async def test_a_watched_action_ends_its_stream_when_it_has_ended(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    phases = []

    async for update in api.runs.watch_action_details(
        WatchActionDetailsRequest(action_id=action_id())
    ):
        phases.append(update.details.status.phase)
        if len(phases) == 1:
            await api.finish()

    assert phases[0] == Phase.QUEUED.value
    assert phases[-1] == Phase.SUCCEEDED.value


async def test_a_watched_run_ends_its_stream_when_it_has_ended(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run(run_spec=RunSpec(max_action_concurrency=7)))
    await api.finish()

    updates = [
        update
        async for update in api.runs.watch_run_details(WatchRunDetailsRequest(run_id=run_id()))
    ]

    assert len(updates) == 1
    assert updates[0].details.run_spec.max_action_concurrency == 7


async def test_watch_runs_sends_existing_runs_and_then_new_ones(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("old"))
    watched = api.runs.watch_runs(WatchRunsRequest(project_id=project_id()))

    first = await anext(watched)
    await api.runs.create_run(create_run("new"))
    second = await anext(watched)
    await watched.aclose()

    assert [run.action.id.run.name for run in first.runs] == ["old"]
    assert [run.action.id.run.name for run in second.runs] == ["new"]


async def test_runs_are_listed_by_page_filter_and_order(api: ApiUnderTest) -> None:
    for number in range(5):
        labels = RunSpec()
        labels.labels.values["team"] = "red" if number % 2 else "blue"
        await api.runs.create_run(create_run(f"r{number}", run_spec=labels))
    await api.finish()

    async def names(request: ListRequest) -> list[str]:
        listed = await api.runs.list_runs(ListRunsRequest(project_id=project_id(), request=request))
        return [run.action.id.run.name for run in listed.runs]

    oldest = Sort(key="created_at", direction=Sort.ASCENDING)
    assert await names(ListRequest()) == ["r4", "r3", "r2", "r1", "r0"]
    assert await names(ListRequest(limit=2, sort_by=oldest)) == ["r0", "r1"]
    red = Filter(function=Filter.EQUAL, field="labels.team", values=["red"])
    assert await names(ListRequest(filters=[red])) == ["r3", "r1"]
    # As the SDK sends a filter on one phase: the string "10" where a list belongs.
    recovered = Filter(function=Filter.EQUAL, field="phase", values="10")
    assert await names(ListRequest(filters=[recovered])) == []
    done = Filter(function=Filter.EQUAL, field="phase", values="5")
    assert len(await names(ListRequest(filters=[done]))) == 5

    first = await api.runs.list_runs(
        ListRunsRequest(project_id=project_id(), request=ListRequest(limit=3))
    )
    rest = await api.runs.list_runs(
        ListRunsRequest(project_id=project_id(), request=ListRequest(limit=3, token=first.token))
    )
    assert [run.action.id.run.name for run in rest.runs] == ["r1", "r0"]
    assert rest.token == ""
    assert rest.runs[0].labels["team"] == "red"


async def test_run_page_shows_the_state_of_the_run(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    await api.finish(
        Phase.FAILED, Failure(code="E", kind=FailureKind.USER, message="<script>alert(1)</script>")
    )
    address = f"{api.url}/v2/domain/{DOMAIN}/project/{PROJECT}/runs/r1"

    async with httpx.AsyncClient() as http:
        page = await http.get(address)
        info = (await http.get(f"{address}?i=a0", headers={"accept": "application/json"})).json()
        missing = await http.get(f"{address}x")

    assert page.status_code == 200
    assert "failed" in page.text
    assert "<script>" not in page.text
    assert info["state"] == "failed"
    assert missing.status_code == 404


async def test_details_of_an_action_name_its_queue(api: ApiUnderTest) -> None:
    queues = Queues(api.database, SystemClock())
    caller = Caller(subject=Subject("user:ada"), org=ORG, name="", grants=org_wide(EVERYTHING))
    await queues.set(caller, "gpus", QueueChange())
    await api.runs.create_run(create_run(run_spec=RunSpec(queue="gpus")))
    await api.runs.create_run(create_run("other"))

    async def written(run: str) -> bytes:
        request = GetActionDetailsRequest(action_id=action_id(run=run))
        details = (await api.runs.get_action_details(request)).details
        return bytes(details.metadata.task.SerializeToString())

    assert b"\x22\x04gpus" in await written("r1")  # field 4, in flyteidl2 from 2.0.53 on
    assert b"gpus" not in await written("other")
    await api.finish()
    assert b"\x22\x04gpus" in await written("r1")
