"""
Measures hits of the result cache: how many a second, and how long a call takes.

Children of a running task are enqueued under one cache key, as the SDK enqueues them, and roots are
created with equal inputs. None has an attempt. The task declares no outputs, so the store is not asked
whether they exist, which is one look-up for each hit otherwise.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

from flyteidl2.actions.actions_service_connect import ActionsServiceClient
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClient
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.run_service_pb2 import (
    CreateRunRequest,
    GetActionDetailsRequest,
    WatchActionDetailsRequest,
)

from benchmarks.stack import Stack, percentile, running_stack, table

_TIMEOUT = 60_000


def make_spec(name: str, *, cached: bool) -> TaskSpec:
    """Return a task that needs no process; one that is not cached sleeps for an hour."""
    spec = TaskSpec(short_name=name)
    template = spec.task_template
    template.type = "core-sleep"
    template.id.project, template.id.domain = "flytesnacks", "development"
    template.id.name, template.id.version = f"bench.{name}", "1"
    if cached:
        template.metadata.discoverable, template.metadata.discovery_version = True, "1"
    else:
        template.interface.inputs.variables.add(key="seconds").value.type.simple = SimpleType.FLOAT
    return spec


def make_run(name: str, spec: TaskSpec) -> CreateRunRequest:
    request = CreateRunRequest(task_spec=spec)
    run = request.run_id
    run.project, run.domain, run.name = "flytesnacks", "development", name
    request.inputs.SetInParent()
    if spec.task_template.interface.inputs.variables:
        literal = request.inputs.literals.add(name="seconds")
        literal.value.scalar.primitive.float_value = 3600.0
    return request


def make_child(name: str, spec: TaskSpec, input_uri: str) -> EnqueueRequest:
    request = EnqueueRequest()
    action = request.action
    action.input_uri, action.run_output_base = input_uri, "unused"
    run = action.action_id.run
    run.project, run.domain, run.name = "flytesnacks", "development", "parent"
    action.action_id.name, action.parent_action_name = name, "a0"
    action.task.spec.CopyFrom(spec)
    action.task.cache_key.value = "key"
    return request


async def wait_for(runs: RunServiceClient, run: str, action: str, phase: int) -> None:
    request = WatchActionDetailsRequest()
    identifier = request.action_id
    identifier.run.project, identifier.run.domain = "flytesnacks", "development"
    identifier.run.name, identifier.name = run, action
    async for answer in runs.watch_action_details(request, timeout_ms=_TIMEOUT):
        if answer.details.status.phase == phase:
            return
    raise RuntimeError(f"{run}/{action} ended before it was in phase {phase}")


async def measure(
    call: Callable[[int], Awaitable[object]], *, count: int, at_once: int
) -> tuple[float, list[float]]:
    """Make so many calls; return the rate, and the milliseconds that each took."""
    numbers = iter(range(count))
    took: list[float] = []

    async def work() -> None:
        for number in numbers:
            begin = time.perf_counter()
            await call(number)
            took.append(1000 * (time.perf_counter() - begin))

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
    return count / (time.perf_counter() - begin), took


async def measure_stack(stack: Stack, options: argparse.Namespace) -> None:
    runs = RunServiceClient(f"http://{stack.endpoint}")
    actions = ActionsServiceClient(f"http://{stack.endpoint}")
    cached = make_spec("cached", cached=True)
    await runs.create_run(make_run("parent", make_spec("parent", cached=False)))
    await wait_for(runs, "parent", "a0", ActionPhase.ACTION_PHASE_RUNNING)
    upload = UploadInputsRequest(task_spec=cached)
    upload.project_id.name, upload.project_id.domain = "flytesnacks", "development"
    upload.inputs.SetInParent()
    uploaded = await DataProxyServiceClient(f"http://{stack.endpoint}").upload_inputs(upload)
    uri = uploaded.offloaded_input_data.uri
    await actions.enqueue(make_child("first", cached, uri))
    await wait_for(runs, "parent", "first", ActionPhase.ACTION_PHASE_SUCCEEDED)
    await runs.create_run(make_run("root", cached))
    await wait_for(runs, "root", "a0", ActionPhase.ACTION_PHASE_SUCCEEDED)

    with table("Hits of the result cache", "what", "hits/s", "p50 ms", "p99 ms") as shown:
        for what, call, count in (
            (
                "children",
                lambda n: actions.enqueue(make_child(f"c{n}", cached, uri)),
                options.children,
            ),
            ("roots", lambda n: runs.create_run(make_run(f"r{n}", cached)), options.roots),
        ):
            rate, took = await measure(call, count=count, at_once=options.at_once)
            shown.add_row(
                what,
                f"{rate:.0f}",
                f"{percentile(took, 0.5):.1f}",
                f"{percentile(took, 0.99):.1f}",
            )
    await require_hits(runs, options)


async def require_hits(runs: RunServiceClient, options: argparse.Namespace) -> None:
    """Raise RuntimeError unless the last of each were hits."""
    for run, action in (("parent", f"c{options.children - 1}"), (f"r{options.roots - 1}", "a0")):
        request = GetActionDetailsRequest()
        identifier = request.action_id
        identifier.run.project, identifier.run.domain = "flytesnacks", "development"
        identifier.run.name, identifier.name = run, action
        status = (await runs.get_action_details(request)).details.status
        if status.cache_status != 2:
            raise RuntimeError(f"{run}/{action} was no hit: {status}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=10_000)
    parser.add_argument("--roots", type=int, default=1_000)
    parser.add_argument("--at-once", type=int, default=64, help="calls that are under way")
    options = parser.parse_args()
    async with running_stack() as stack:
        await measure_stack(stack, options)


if __name__ == "__main__":
    asyncio.run(main())
