"""The tokens of tasks: what an attempt may do with its own, and that it is useless elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions import actions_service_pb2 as actions_pb
from flyteidl2.common.run_pb2 import RELATION_TYPE_SPAWN
from flyteidl2.dataproxy import dataproxy_service_pb2 as data_pb
from flyteidl2.task import run_pb2
from flyteidl2.trigger.trigger_service_pb2 import GetTriggerDetailsRequest
from flyteidl2.workflow import run_service_pb2 as run_pb
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import text

from controlplane.core.attempt_callers import credential_of, subject_of
from controlplane.core.errors import InvalidError, UnauthenticatedError
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import dispatches
from controlplane.store.resources.clusters import ClusterRef, save_cluster
from controlplane.usecases.running_attempts import (
    FRESH_FOR,
    MAX_EXCHANGED,
    RunningAttempts,
)
from shared.kit.secrets import SecretText, digest_of
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName, OrgName
from shared.model.phases import Phase
from shared.model.task_calls import RULES, Scope
from tests.integration.api import platform_requests
from tests.integration.api.client import CLUSTER, ORG, PROJECT
from tests.integration.api.flyte_requests import LISTS, PLATFORM, REQUESTS as ALL_REQUESTS
from tests.integration.api.requests import (
    action_id,
    create_run,
    enqueue,
    run_id,
)
from tests.integration.api.task_callers import Tasks, open_tasks
from tests.integration.api.test_scopes import OTHER, RPCS, SERVED, outcome
from tests.integration.api.triggers import deploy_scheduled, of_task, trigger_name

REQUESTS = {
    name: request for name, request in ALL_REQUESTS.items() if not name.startswith(PLATFORM)
}
OTHER_CLUSTER = ClusterName("other")
OF_ANY_RUN = {
    "ArtifactService/CreateArtifact",
    "ArtifactService/DeclareArtifact",
    "ArtifactService/GetArtifact",
    "ArtifactService/GetArtifactSchema",
    "ArtifactService/ListArtifactMetadataKeys",
    "ArtifactService/ListArtifactNames",
    "ArtifactService/ListArtifacts",
    "ArtifactService/ListPartitionValues",
    "DataProxyService/CreateUploadLocation",
    "DataProxyService/UploadInputs",
    "ProjectService/GetProject",
    "ProjectService/ListProjects",
    "RunService/CreateRun",
    "TaskService/DeployTask",
    "TaskService/GetTaskDetails",
    "TaskService/ListTasks",
    "TaskService/ListVersions",
}
"""RPCs of REQUESTS that name no run but are about a project and domain."""


@pytest.fixture
async def tasks(database_url: str, tmp_path: Path) -> AsyncIterator[Tasks]:
    async with open_tasks(database_url, tmp_path / "blobs") as opened:
        yield opened


def names_of(scopes: Sequence[Scope]) -> set[str]:
    """Return the RPCs of REQUESTS that have a row with one of the scopes."""
    rows = {name.rpartition(".")[2]: rule.scope for name, rule in RULES.items()}
    return {name for name in REQUESTS if rows.get(name) in scopes}


async def test_lease_is_exchanged_by_its_own_cluster_once_it_is_accepted(tasks: Tasks) -> None:
    assignment = (await tasks.start(accept=False))[f"{PROJECT}/r1"]
    async with tasks.api.database.for_org(ORG) as tx:
        await save_cluster(tx, OTHER_CLUSTER, digest_of(SecretText("t")), tasks.clock.now())

    assert await tasks.token(assignment) is None
    await accept(tasks, assignment)
    assert await tasks.token(assignment) is not None
    assert await tasks.token(assignment, OTHER_CLUSTER) is None


async def accept(tasks: Tasks, assignment: Assignment) -> None:
    async with tasks.api.database.for_org(ORG) as tx:
        accepted = await dispatches.accept(
            tx, CLUSTER, [(assignment.attempt, assignment.lease)], tasks.clock.now()
        )
    assert accepted.confirmed


async def test_lease_itself_is_no_credential_of_the_api(tasks: Tasks) -> None:
    assignment = (await tasks.start())[f"{PROJECT}/r1"]
    for credential in (str(assignment.lease), assignment.lease.hex, str(assignment.attempt)):
        assert not await tasks.is_alive({"authorization": f"Bearer {credential}"})


async def test_exchange_is_bounded(tasks: Tasks) -> None:
    assignment = (await tasks.start())[f"{PROJECT}/r1"]
    leases = [(assignment.attempt, assignment.lease)] * (MAX_EXCHANGED + 1)
    with pytest.raises(InvalidError, match=str(MAX_EXCHANGED)):
        await tasks.exchange.exchange(ClusterRef(ORG, CLUSTER), leases)


async def test_exchange_of_another_attempt_of_the_lease_gives_nothing(tasks: Tasks) -> None:
    started = await tasks.start()
    first, second = started[f"{PROJECT}/r1"], started[f"{PROJECT}/waiting"]
    exchanged = await tasks.exchange.exchange(
        ClusterRef(ORG, CLUSTER), [(first.attempt, second.lease), (first.attempt, first.lease)]
    )
    assert exchanged is not None
    assert [each.token is not None for each in exchanged] == [False, True]
    assert exchanged[1].expires_in == timedelta(minutes=15)
    assert "Bearer" not in repr(exchanged)
    assert exchanged[1].token.reveal() not in repr(exchanged)  # type: ignore[union-attr]


async def test_task_calls_what_the_table_allows_about_its_own_run(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    allowed = names_of(list(Scope))
    # What ends the caller itself comes last.
    order = sorted(REQUESTS, key=lambda name: name == "RunService/AbortRun")
    for name in order:
        request = REQUESTS[name](tasks.api)
        if isinstance(request, data_pb.TailLogsRequest):
            request.action_id.name = "cond"  # aborted by then; the log of a running one goes on
        if isinstance(request, run_pb.WatchClusterEventsRequest):
            request.id.name = "cond"
        code, message = await outcome(tasks.api, name, request, headers)
        if name in allowed:
            assert code in SERVED, (name, message)
        else:
            assert code is Code.PERMISSION_DENIED, (name, message)


async def test_leaked_token_of_another_run_of_the_project_is_refused(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/waiting"])
    for name, request in REQUESTS.items():
        code, message = await outcome(tasks.api, name, request(tasks.api), headers)
        if name in OF_ANY_RUN:
            assert code in SERVED, (name, message)
        else:
            assert code is Code.PERMISSION_DENIED, (name, message)


async def test_leaked_token_of_another_project_is_refused(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{OTHER}/r1"])
    for name, request in REQUESTS.items():
        code, message = await outcome(tasks.api, name, request(tasks.api), headers)
        if name in LISTS and code is None:
            assert PROJECT not in message, name
        else:
            assert code in {Code.PERMISSION_DENIED, Code.NOT_FOUND}, (name, message)


async def test_task_may_not_call_the_platform_api(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    for name in (PLATFORM + name for name in platform_requests.REQUESTS):
        request = GetMessageClass(RPCS[name].input_type)()
        code, message = await outcome(tasks.api, name, request, headers)
        assert code is Code.PERMISSION_DENIED, name
        assert "a task may not call" in message, name


async def test_task_enqueues_below_its_own_action_only(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    name = "ActionsService/Enqueue"
    await outcome(tasks.api, name, enqueue(tasks.api, "child"), headers)
    child = (await tasks.start())[f"{PROJECT}/r1"]
    of_child = await tasks.headers(child)

    code, message = await outcome(tasks.api, name, enqueue(tasks.api, "x"), of_child)
    assert code is Code.PERMISSION_DENIED
    assert "is not its own action" in message
    below = enqueue(tasks.api, "x", parent="child")
    assert (await outcome(tasks.api, name, below, of_child))[0] is None


async def test_task_deploys_tasks_but_no_triggers_and_leaves_those_that_there_are(
    tasks: Tasks,
) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    await tasks.api.tasks.deploy_task(deploy_scheduled(of_task(), name="env.kept"))

    code, message = await outcome(
        tasks.api, "TaskService/DeployTask", deploy_scheduled(of_task()), headers
    )
    without = deploy_scheduled(name="env.kept", version="v2")
    deployed, _ = await outcome(tasks.api, "TaskService/DeployTask", without, headers)

    assert code is Code.PERMISSION_DENIED
    assert "a task may deploy no triggers" in message
    assert deployed is None
    names = GetTriggerDetailsRequest(name=trigger_name(task="env.kept"))
    found = (await tasks.api.triggers.get_trigger_details(names)).trigger
    assert found.spec.task_version == "v1"


def spawned(name: str, by: str) -> run_pb.CreateRunRequest:
    spec = run_pb2.RunSpec()
    spec.relation.relation_type = RELATION_TYPE_SPAWN
    spec.relation.related_to.CopyFrom(run_id(by))
    return create_run(name, run_spec=spec)


async def test_task_reads_and_aborts_runs_that_it_started_through_others_too(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    assert (await outcome(tasks.api, "RunService/CreateRun", spawned("s1", "r1"), headers))[
        0
    ] is None
    in_s1 = await tasks.headers((await tasks.start())[f"{PROJECT}/s1"])
    assert (await outcome(tasks.api, "RunService/CreateRun", spawned("s2", "s1"), in_s1))[0] is None

    assert await tasks.is_alive(headers, "s1")
    assert await tasks.is_alive(headers, "s2")
    code, _ = await outcome(
        tasks.api,
        "RunService/GetRunDetails",
        run_pb.GetRunDetailsRequest(run_id=run_id("r1")),
        in_s1,
    )
    assert code is Code.PERMISSION_DENIED
    abort = run_pb.AbortRunRequest(run_id=run_id("s2"))
    assert (await outcome(tasks.api, "RunService/AbortRun", abort, headers))[0] is None


async def test_run_that_does_not_exist_is_refused_like_that_of_another(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    refusals = []
    for run in ("waiting", "none"):
        request = run_pb.GetRunDetailsRequest(run_id=run_id(run))
        code, words = await outcome(tasks.api, "RunService/GetRunDetails", request, headers)
        refusals.append((code, words.replace(run, "…")))
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize("end", ["reported", "aborted", "lease lost"])
async def test_token_is_refused_within_a_second_after_the_attempt(tasks: Tasks, end: str) -> None:
    assignment = (await tasks.start())[f"{PROJECT}/r1"]
    headers = await tasks.headers(assignment)
    assert await tasks.is_alive(headers)
    await end_attempt(tasks, assignment, end)

    await tasks.running.refresh()
    assert not await tasks.is_alive(headers)
    assert await tasks.token(assignment) is None


@pytest.mark.parametrize("end", ["reported", "aborted", "lease lost"])
async def test_token_is_refused_after_a_second_even_if_nothing_is_read_in_between(
    tasks: Tasks, end: str
) -> None:
    assignment = (await tasks.start())[f"{PROJECT}/r1"]
    headers = await tasks.headers(assignment)
    assert await tasks.is_alive(headers)
    await end_attempt(tasks, assignment, end)

    tasks.clock.advance(FRESH_FOR + timedelta(milliseconds=1))
    assert not await tasks.is_alive(headers)


async def end_attempt(tasks: Tasks, assignment: Assignment, end: str) -> None:
    match end:
        case "reported":
            await tasks.api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED)
        case "aborted":
            await tasks.api.runs.abort_run(run_pb.AbortRunRequest(run_id=run_id()))
        case _:
            async with tasks.api.database.for_org(ORG) as tx:
                await tx.execute(
                    text(
                        "UPDATE dispatches SET lease_id = NULL, cluster = NULL, leased_at = NULL,"
                        " accepted_at = NULL WHERE org = :org AND action_id = :action"
                    ),
                    {"action": assignment.attempt.action},
                )


async def test_stream_of_a_task_ends_with_its_attempt(tasks: Tasks) -> None:
    assignment = (await tasks.start())[f"{PROJECT}/r1"]
    watched = tasks.api.actions.watch_for_updates(
        actions_pb.WatchForUpdatesRequest(parent_action_id=action_id()),
        headers=await tasks.headers(assignment),
    )
    await anext(watched)
    await end_attempt(tasks, assignment, "aborted")
    await tasks.running.refresh()

    with pytest.raises(ConnectError) as ended:
        await asyncio.wait_for(read_to_the_end(watched), 60)
    assert ended.value.code is Code.UNAUTHENTICATED


async def read_to_the_end(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass


async def test_token_of_an_attempt_expires(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    tasks.clock.advance(timedelta(minutes=16, seconds=1))
    assert not await tasks.is_alive(headers)


async def test_ended_attempt_costs_one_read_however_often_its_token_is_tried(tasks: Tasks) -> None:
    assignment = (await tasks.start())[f"{PROJECT}/r1"]
    await end_attempt(tasks, assignment, "reported")
    counted = CountedDatabase(tasks.api.database)
    running = RunningAttempts(counted, tasks.clock)  # type: ignore[arg-type]  # a part of one
    subject = subject_of(assignment.attempt.action)
    for _ in range(3):
        with pytest.raises(UnauthenticatedError, match="has ended"):
            await running.find(ORG, subject, credential_of(assignment.lease))
    assert counted.transactions == 1


class CountedDatabase:
    """Counts the transactions that are opened."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transactions = 0

    def for_org(self, org: OrgName) -> AbstractAsyncContextManager[OrgTx]:
        self.transactions += 1
        return self._database.for_org(org)


async def test_endpoints_that_are_not_for_tasks_refuse_their_tokens(tasks: Tasks) -> None:
    headers = await tasks.headers((await tasks.start())[f"{PROJECT}/r1"])
    with pytest.raises(UnauthenticatedError, match="calls the API only"):
        await tasks.people.authenticate(headers, None)


def test_every_row_about_a_served_rpc_has_a_request_here() -> None:
    served = {name.rpartition(".")[2] for name in RULES} & set(RPCS)
    assert names_of(list(Scope)) == served
