"""Traces of a real control plane and agent: a run is one trace, from its call to its end."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, GetRunDetailsRequest

from shared.model.ids import (
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.traces import TraceContext, context_of_action, context_of_attempt
from tests.integration.agent.world import ActionRequest, make_inputs
from tests.integration.replicas.world import World, nap, running
from tests.running import until
from tests.servers.collector import Collector, ReceivedSpan, collecting
from tests.servers.postgres import DatabaseForTest, PostgresForTests
from tests.system.api_client import PROJECT_ID

CREATE = "flyteidl2.workflow.RunService/CreateRun"
ENQUEUE = "flyteidl2.actions.ActionsService/Enqueue"
WATCH = "flyteidl2.workflow.RunService/WatchActionDetails"
SUCCEEDED = ActionPhase.ACTION_PHASE_SUCCEEDED
CALLERS = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)

Spans = Mapping[str, Sequence[ReceivedSpan]]


@contextmanager
def traced(home: Path, database: DatabaseForTest, endpoint: str, *, ratio: str) -> Iterator[World]:
    variables = {
        "VOLARY_TRACES_ENDPOINT": endpoint,
        "VOLARY_TRACES_RATIO": ratio,
        "VOLARY_AGENT_TRACES_ENDPOINT": endpoint,
    }
    with running(home, database, replicas=1, variables=variables) as world:
        world.start_agent(*world.replicas)
        yield world


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced_world(
    postgres_server: PostgresForTests,
    tmp_path_factory: pytest.TempPathFactory,
    collector: Collector,
) -> Iterator[World]:
    home = tmp_path_factory.mktemp("traced")
    with (
        postgres_server.migrated() as database,
        traced(home, database, collector.endpoint, ratio="1") as world,
    ):
        yield world


def context_of(action: ActionIdentifier) -> TraceContext:
    run = action.run
    key = RunKey(ProjectName(run.project), DomainName(run.domain), RunName(run.name))
    return context_of_action(OrgName("local"), ActionKey(key, ActionName(action.name)), ratio=1)


async def until_received(
    collector: Collector, context: TraceContext, names: Sequence[str]
) -> Spans:
    """Return the spans of a trace, once those with these names have arrived, as often."""

    def are_there() -> bool:
        found = collector.of_trace(context.trace_id)
        return all(len(found.get(name, ())) >= names.count(name) for name in names)

    await until(are_there, f"spans have arrived: {names}")
    return collector.of_trace(context.trace_id)


async def test_trace_of_a_run_leads_from_its_call_to_its_task_and_back_to_its_watcher(
    traced_world: World, collector: Collector
) -> None:
    [replica] = traced_world.replicas
    task = ActionRequest(task="read_variable", inputs={"name": "TRACEPARENT"}, outputs=["o0"])
    root = await traced_world.start(replica, task)
    await replica.api.phase(root, SUCCEEDED)
    action = context_of(root)
    attempt = context_of_attempt(action, 1)
    spans = await until_received(
        collector,
        action,
        [CREATE, "enqueue action", "wait for a cluster", "run attempt", "start task",
         "commit report", WATCH],
    )  # fmt: skip
    [call], [enqueued] = spans[CREATE], spans["enqueue action"]
    assert (call.parent, call.kind, call.service) == ("", "server", "volary-controlplane")
    assert (enqueued.span_id, enqueued.parent) == (action.span_id, call.span_id)
    [wait], [run] = spans["wait for a cluster"], spans["run attempt"]
    assert (wait.parent, wait.service) == (action.span_id, "volary-controlplane")
    assert (run.span_id, run.parent) == (attempt.span_id, action.span_id)
    assert (run.service, run.kind, run.error) == ("volary-agent", "consumer", None)
    [start], [commit] = spans["start task"], spans["commit report"]
    assert (start.parent, start.service) == (attempt.span_id, "volary-agent")
    assert (commit.parent, commit.service) == (attempt.span_id, "volary-controlplane")
    assert [each.parent for each in spans[WATCH]][-1] == action.span_id
    assert run.attributes["volary.attempt"] == "1"
    assert await replica.api.outputs(root) == [f"00-{attempt.trace_id}-{attempt.span_id}-01"]


async def test_enqueued_action_is_below_its_parent_in_the_trace(
    traced_world: World, collector: Collector
) -> None:
    [replica] = traced_world.replicas
    root = await traced_world.start(replica, nap(600))
    await replica.api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)
    request = traced_world.child(root, "c1", nap())
    await replica.api.actions.enqueue(request)
    child = request.action.action_id
    await replica.api.phase(child, SUCCEEDED)
    spans = await until_received(collector, context_of(child), [ENQUEUE, "run attempt"])
    [call] = spans[ENQUEUE]
    [enqueued] = [each for each in spans["enqueue action"] if each.parent == call.span_id]
    assert call.parent == context_of(root).span_id
    assert enqueued.span_id == context_of(child).span_id
    assert [each.parent for each in spans["run attempt"]] == [context_of(child).span_id]


async def test_call_with_a_traceparent_is_in_its_callers_trace_and_linked_to_that_of_the_run(
    traced_world: World, collector: Collector
) -> None:
    [replica] = traced_world.replicas
    request = CreateRunRequest(
        project_id=PROJECT_ID, task_spec=traced_world.task(nap()), inputs=make_inputs({})
    )
    header = f"00-{CALLERS.trace_id}-{CALLERS.span_id}-01"
    created = await replica.api.runs.create_run(request, headers={"traceparent": header})
    own = await until_received(collector, CALLERS, [CREATE])
    [call] = own[CREATE]
    assert call.parent == CALLERS.span_id
    run = await until_received(
        collector, context_of(created.run.action.id), ["enqueue action", "run attempt"]
    )
    [enqueued] = run["enqueue action"]
    assert (enqueued.parent, enqueued.links) == ("", [call.span_id])


async def test_only_errors_are_recorded_of_runs_that_are_not_sampled(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    with (
        collecting() as collector,
        traced(tmp_path / "world", test_database, collector.endpoint, ratio="0") as world,
    ):
        [replica] = world.replicas
        good = await world.start(replica, nap())
        bad = await world.start(
            replica, ActionRequest(task="fail", inputs={"message": "no luck"}, outputs=["o0"])
        )
        await replica.api.phase(good, SUCCEEDED)
        await replica.api.phase(bad, ActionPhase.ACTION_PHASE_FAILED)
        spans = await until_received(collector, context_of(bad), ["run attempt"])
        world.kill_all()
    [run] = spans["run attempt"]
    assert run.error is not None
    assert "no luck" in run.error
    assert {each.name for each in collector.spans} == {"run attempt"}


async def test_runs_go_on_while_the_collector_is_away(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    with collecting() as gone:
        endpoint = gone.endpoint
    with traced(tmp_path / "world", test_database, endpoint, ratio="1") as world:
        [replica] = world.replicas
        roots = [await world.start(replica, nap()) for _ in range(20)]
        async with asyncio.TaskGroup() as tasks:
            for root in roots:
                tasks.create_task(replica.api.phase(root, SUCCEEDED))
        await replica.api.runs.get_run_details(GetRunDetailsRequest(run_id=roots[0].run))
        assert replica.program.end() == 0
        assert "spans not sent" in replica.program.output()
