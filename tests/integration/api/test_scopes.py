"""
A caller reaches only what its grants cover: every RPC without a grant, with grants elsewhere,
with the right one. A project that the caller may not read does not exist for it.
"""

from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from connectrpc.client import ConnectClient
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo
from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.dataproxy import dataproxy_service_pb2 as data_pb
from flyteidl2.project import project_service_pb2 as project_pb
from flyteidl2.task import run_pb2, task_service_pb2 as task_pb
from flyteidl2.workflow import (
    run_service_pb2 as run_pb,
)
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.api import server
from controlplane.api.permissions import PERMISSIONS
from controlplane.core.callers import (
    EVERYTHING,
    Caller,
    Grant,
    Permission,
    Subject,
    org_wide,
)
from controlplane.core.errors import NotAllowedError, NotFoundError
from controlplane.core.queues import QueueChange
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.queues import Queues
from shared.kit.clock import SystemClock
from shared.model.ids import ROOT, ActionKey, DomainName, ProjectName, RunKey, RunName
from shared.model.phases import Phase
from tests.integration.api import platform_requests
from tests.integration.api.caching import HIT, MISS, child, details, run_everything, run_in
from tests.integration.api.client import CLUSTER, DOMAIN, ORG, PROJECT, ApiUnderTest, open_api
from tests.integration.api.flyte_requests import (
    LISTS,
    OF_THE_ORG,
    PLATFORM,
    REQUESTS,
    create_project,
    create_secret,
)
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    enqueue,
    enqueue_condition,
    refusal,
)
from tests.integration.api.tracked_requests import create_tracked
from tests.integration.api.triggers import plain_trigger
from tests.integration.delivery_rows import add_delivery

OTHER = "other"
IN_PROJECT = (Grant(EVERYTHING, PROJECT),)
IN_DOMAIN = (Grant(EVERYTHING, PROJECT, DOMAIN),)
ELSEWHERE = (Grant(EVERYTHING, OTHER),)


class Chosen:
    """Authenticates every call as the caller that the test has chosen."""

    def __init__(self) -> None:
        self.grants: tuple[Grant, ...] = org_wide(EVERYTHING)

    async def authenticate(self, _headers: Mapping[str, str], _peer: str | None) -> Caller:
        return caller_with(self.grants)


def caller_with(grants: tuple[Grant, ...]) -> Caller:
    return Caller(subject=Subject("user:ada"), org=ORG, name="Ada", grants=grants)


@pytest.fixture
def chosen() -> Chosen:
    return Chosen()


@pytest.fixture
async def api(database_url: str, tmp_path: Path, chosen: Chosen) -> AsyncIterator[ApiUnderTest]:
    """An API with a finished run, a waiting one and a task, and the same in another project."""
    async with open_api(database_url, tmp_path / "blobs", authn=chosen) as api:
        await api.projects.create_project(create_project(OTHER))
        for project in (PROJECT, OTHER):
            for request in (create_run(), create_run("waiting"), deploy()):
                if isinstance(request, run_pb.CreateRunRequest):
                    request.run_id.project = project
                    await api.runs.create_run(request)
                else:
                    request.task_id.project = project
                    await api.tasks.deploy_task(request)
            tracked = create_tracked()
            tracked.run_id.project = project
            await api.tracked.create_run(tracked)
            trigger = plain_trigger()
            trigger.name.project = project
            await api.triggers.deploy_trigger(trigger)
            await call(api, "SecretService/CreateSecret", create_secret(project))
        await api.actions.enqueue(enqueue_condition("cond"))
        for project in (OTHER, PROJECT):  # the ids of the last ones are kept
            bound = await call(
                api,
                "platform.RoleBindingService/CreateRoleBinding",
                platform_requests.bind(project),
            )
            invited = await call(
                api,
                "platform.InvitationService/CreateInvitation",
                platform_requests.invite(project),
            )
            api.made["role binding"] = bound.role_binding.id
            api.made["invitation"] = invited.invitation.id
            delivery = await add_delivery(api.database, ORG, project=project, domain=DOMAIN)
            api.made["delivery"] = str(delivery)
        yield api


NOT_THERE = (
    f"project {PROJECT}/{DOMAIN} not found",
    f"project {PROJECT} not found",
    f"task {PROJECT}/{DOMAIN}/env.main not found",
)

NO_ADDRESS = (
    "only a member with a verified address in acme.example can let its users join; or claim it with"
    " `volary email-domain claim acme.example`, and prove it by a DNS record"
)
SERVED = (None, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.ABORTED)
"""Outcomes of calls that passed the check; the runs have ended, and have no logs or reports."""


def _prefix_of(service: ServiceDescriptor) -> str:
    return PLATFORM if service.full_name.startswith("volary.platform.") else ""


RPCS = {
    f"{_prefix_of(service)}{service.name}/{method.name}": method
    for service in server.services()
    for method in service.methods
    if isinstance(PERMISSIONS[service.full_name][method.name], Permission)
}


async def call(
    api: ApiUnderTest, name: str, request: Message, headers: Mapping[str, str] | None = None
) -> Any:
    """Return an RPC's answer, or the first one of a stream; None if it ends without."""
    method: MethodDescriptor = RPCS[name]
    info: MethodInfo[Any, Any] = MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
    )
    client = ConnectClient(api.url)
    if not method.server_streaming:
        return await client.execute_unary(request=request, method=info, headers=headers)
    answers = client.execute_server_stream(request=request, method=info, headers=headers)
    return await anext(answers, None)


async def first(items: AsyncIterator[Any]) -> Any:
    return await anext(items)


async def outcome(
    api: ApiUnderTest, name: str, request: Message, headers: Mapping[str, str] | None = None
) -> tuple[Code | None, str]:
    try:
        return None, str(await call(api, name, request, headers))
    except ConnectError as error:
        return error.code, error.message


def test_every_rpc_with_a_permission_has_a_request_here() -> None:
    assert set(REQUESTS) == set(RPCS)


async def test_rpc_without_a_grant_is_refused(api: ApiUnderTest, chosen: Chosen) -> None:
    chosen.grants = ()
    for name, request in REQUESTS.items():
        code, message = await outcome(api, name, request(api))
        assert code is Code.PERMISSION_DENIED, name
        assert "lacks the permission" in message


async def test_rpc_with_grants_elsewhere_finds_nothing(api: ApiUnderTest, chosen: Chosen) -> None:
    chosen.grants = ELSEWHERE
    for name, request in REQUESTS.items():
        code, message = await outcome(api, name, request(api))
        if name in LISTS:
            assert code is None, name
            assert OTHER in message, name
            assert PROJECT not in message, name
        elif name in OF_THE_ORG:
            assert code is Code.PERMISSION_DENIED, name
        else:
            assert code is Code.NOT_FOUND, name
            made = [f"{kind} {id_} not found" for kind, id_ in api.made.items()]
            assert message in (*NOT_THERE, *made), name


async def test_rpc_with_the_grant_of_its_project_is_served(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    await api.finish()
    for name, request in REQUESTS.items():
        chosen.grants = org_wide(EVERYTHING) if name in OF_THE_ORG else IN_PROJECT
        code, message = await outcome(api, name, request(api))
        assert code in SERVED or message == NO_ADDRESS, (name, message)
        made = [f"{kind} {id_} not found" for kind, id_ in api.made.items()]
        assert code is not Code.NOT_FOUND or message not in (*NOT_THERE, *made), name


async def test_caller_of_one_domain_sees_its_project_and_nothing_of_other_domains(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    production = create_run("live")
    production.run_id.domain = "production"
    await api.runs.create_run(production)

    chosen.grants = IN_DOMAIN
    projects = (await api.projects.list_projects(project_pb.ListProjectsRequest())).projects
    runs = (await api.runs.list_runs(run_pb.ListRunsRequest(org=ORG))).runs
    code, message = await refusal(
        api.runs.get_run_details(run_pb.GetRunDetailsRequest(run_id=production.run_id))
    )

    assert [each.id for each in projects.projects] == [PROJECT]
    assert {(each.action.id.run.project, each.action.id.run.domain) for each in runs} == {
        (PROJECT, DOMAIN)
    }
    assert (code, message) == (Code.NOT_FOUND, f"project {PROJECT}/production not found")


async def test_watch_of_runs_leaves_out_those_of_other_projects(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    chosen.grants = ELSEWHERE
    watched = api.runs.watch_runs(run_pb.WatchRunsRequest(org=ORG))
    first = await anext(watched)
    chosen.grants = org_wide(EVERYTHING)
    await api.runs.create_run(create_run("hidden"))
    shown = create_run("shown")
    shown.run_id.project = OTHER
    await api.runs.create_run(shown)
    second = await anext(watched)
    await watched.aclose()

    assert {run.action.id.run.project for run in first.runs} == {OTHER}
    assert [run.action.id.run.name for run in second.runs] == ["shown"]


async def test_caller_cannot_name_data_of_a_project_that_it_may_not_read(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    chosen.grants = IN_PROJECT
    foreign = f"{api.blobs.base}/{ORG}/{OTHER}/{DOMAIN}"
    named = enqueue(api, "child")
    named.action.input_uri = f"{foreign}/r1/a0/inputs.pb"
    offloaded = OffloadedInputData(uri=f"{foreign}/inputs/x/inputs.pb", inputs_hash="h")
    storage = run_pb2.RawDataStorage(raw_data_prefix=foreign)
    bundle = create_run("bundled")
    bundle.task_spec.task_template.container.args.extend(
        ["--tgz", f"{api.blobs.base}/{ORG}/uploads/{OTHER}/{DOMAIN}/x/code.tgz"]
    )
    for call_ in (
        api.actions.enqueue(named),
        api.runs.create_run(create_run("n1", offloaded_input_data=offloaded)),
        api.runs.create_run(create_run("n2", run_spec=run_pb2.RunSpec(run_base_dir=foreign))),
        api.runs.create_run(create_run("n3", run_spec=run_pb2.RunSpec(raw_data_storage=storage))),
    ):
        assert await refusal(call_) == (Code.NOT_FOUND, f"project {OTHER}/{DOMAIN} not found")
    code, message = await refusal(api.runs.create_run(bundle))
    assert code is Code.FAILED_PRECONDITION
    assert "belongs to a project that you may not read" in message


async def test_cached_result_of_a_project_that_the_creator_may_not_read_is_a_miss(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    await api.finish()
    await api.runs.create_run(run_in(OTHER, "source"))
    await run_everything(api)
    await api.actions.enqueue(child(api, "c1", run="source", project=OTHER))
    await run_everything(api)

    for number, (grants, status) in enumerate(((org_wide(EVERYTHING), HIT), (IN_PROJECT, MISS))):
        chosen.grants = grants
        name = f"cached{number}"
        await api.runs.create_run(run_in(PROJECT, name))
        chosen.grants = org_wide(EVERYTHING)
        await run_everything(api)
        chosen.grants = grants
        await api.actions.enqueue(child(api, "c1", run=name))
        found = await details(api, "c1", run=name)
        assert found.status.cache_status == status
        assert (OTHER in str(found)) is (status == HIT)


async def test_outputs_that_lie_in_another_project_are_not_shown(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    prefix = f"{api.blobs.base}/{ORG}/{OTHER}/{DOMAIN}/r1/a0/1"
    await api.blobs.write(f"{prefix}/outputs.pb", b"")
    for assignment in await api.claim():
        forged = replace(assignment, output_prefix=prefix)
        await api.report(forged, Phase.RUNNING, Phase.SUCCEEDED)
    request = data_pb.GetActionDataRequest(action_id=action_id())

    await api.data.get_action_data(request)
    chosen.grants = IN_PROJECT
    code, message = await refusal(api.data.get_action_data(request))

    assert code is Code.FAILED_PRECONDITION
    assert "in a project that you may not read" in message


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_page_of_a_run_does_not_exist_for_a_caller_of_another_project(
    api: ApiUnderTest, chosen: Chosen, accept: str
) -> None:
    async with httpx.AsyncClient(base_url=api.url, headers={"accept": accept}) as client:
        for grants, status in ((IN_PROJECT, 200), (ELSEWHERE, 404), ((), 404)):
            chosen.grants = grants
            page = await client.get(f"/v2/domain/{DOMAIN}/project/{PROJECT}/runs/r1")
            assert page.status_code == status


async def test_clusters_and_queues_need_a_grant_in_the_whole_org(api: ApiUnderTest) -> None:
    clock = SystemClock()
    clusters, queues = Clusters(api.database, clock), Queues(api.database, clock)

    def calls(caller: Caller) -> list[Coroutine[Any, Any, Any]]:
        return [
            clusters.list(caller),
            clusters.get(caller, CLUSTER),
            clusters.cordon(caller, CLUSTER),
            clusters.uncordon(caller, CLUSTER),
            clusters.move(caller, CLUSTER, "gpu"),
            clusters.drain(caller, CLUSTER),
            clusters.stop_rest(caller, CLUSTER),
            first(clusters.watch_drain(caller, CLUSTER, deadline=timedelta(0))),
            queues.set(caller, "q", QueueChange()),
            queues.list(caller),
            queues.delete(caller, "q", move_to=None),
        ]

    for grants in ((), IN_PROJECT):
        for refused in calls(caller_with(grants)):
            with pytest.raises(NotAllowedError, match=r"in org acme$"):
                await refused
    for allowed in calls(caller_with(org_wide(EVERYTHING))):
        await allowed


async def test_explanations_are_given_where_the_caller_may_read(api: ApiUnderTest) -> None:
    explanations = Explanations(api.database, SystemClock())
    run = RunKey(ProjectName(PROJECT), DomainName(DOMAIN), RunName("waiting"))
    await explanations.run(caller_with(IN_DOMAIN), run)
    await explanations.action(caller_with(IN_DOMAIN), ActionKey(run, ROOT))
    for refused in (
        explanations.run(caller_with(ELSEWHERE), run),
        explanations.action(caller_with(ELSEWHERE), ActionKey(run, ROOT)),
    ):
        with pytest.raises(NotFoundError, match=f"project {PROJECT}/{DOMAIN} not found"):
            await refused


async def test_list_of_tasks_names_no_run_that_the_caller_may_not_read(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    async def latest() -> str:
        listed = await api.tasks.list_tasks(task_pb.ListTasksRequest(org=ORG))
        [task] = [each for each in listed.tasks if each.task_id.project == PROJECT]
        return str(task.task_summary.latest_run.run_id.name)

    assert await latest() == "waiting"
    chosen.grants = org_wide({Permission.TASK_READ})
    assert not await latest()
