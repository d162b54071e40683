"""
Measures dispatch throughput and latency: from Enqueue over HTTP to the agent and SUCCEEDED.

The actions start no process (``core-sleep`` of zero), so only Volary is measured: the API,
Postgres, the link, the agent's ledger, and the watch stream. The client shares the machine.
``python -m benchmarks.dispatch --help`` lists the options.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions.actions_service_connect import ActionsServiceClient
from flyteidl2.actions.actions_service_pb2 import (
    Action,
    EnqueueRequest,
    WatchForUpdatesRequest,
    WatchForUpdatesResponse,
)
from flyteidl2.common.identifier_pb2 import ActionIdentifier, ProjectIdentifier, RunIdentifier
from flyteidl2.common.list_pb2 import ListRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.interface_pb2 import TypedInterface, Variable, VariableEntry, VariableMap
from flyteidl2.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl2.core.tasks_pb2 import TaskTemplate
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec
from flyteidl2.workflow.run_definition_pb2 import TaskAction
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    CreateRunRequest,
    GetActionDataURIsRequest,
    ListActionsRequest,
)
from rich.progress import Progress

from benchmarks.stack import Stack, percentile, running_stack, table

PROJECT, DOMAIN = "flytesnacks", "development"


def sleep_spec(name: str, *, asks_how_long: bool) -> TaskSpec:
    """Build a ``core-sleep`` task; without inputs it sleeps for zero seconds."""
    inputs = VariableMap()
    if asks_how_long:
        seconds = Variable(type=LiteralType(simple=SimpleType.INTEGER))
        inputs = VariableMap(variables=[VariableEntry(key="seconds", value=seconds)])
    template = TaskTemplate(type="core-sleep", interface=TypedInterface(inputs=inputs))
    template.id.name, template.id.version = f"bench.{name}", "1"
    template.id.project, template.id.domain = PROJECT, DOMAIN
    return TaskSpec(task_template=template, short_name=name)


@dataclass(slots=True)
class Watched:
    """Times at which each action was enqueued and its end observed; ``perf_counter`` seconds."""

    sent: "dict[str, float]" = field(default_factory=dict)
    ended: "dict[str, float]" = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for(self, count: int) -> None:
        while len(self.ended) < count:
            self.changed.clear()
            await self.changed.wait()


class Bench:
    """A run whose root action sleeps for long, so that child actions can be enqueued."""

    def __init__(self, endpoint: str, child: TaskSpec | None = None) -> None:
        """``child`` is the task to enqueue; the default is a sleep of zero seconds."""
        self._address = f"http://{endpoint}"
        self.runs = RunServiceClient(self._address)
        self.actions = ActionsServiceClient(self._address)
        self.run = RunIdentifier()
        self.watched = Watched()
        self._inputs = ""  # the root's; those of the children are not read
        self._child = child or sleep_spec("child", asks_how_long=False)

    async def begin(self) -> None:
        hour = Literal(scalar=Scalar(primitive=Primitive(integer=3600)))
        made = await self.runs.create_run(
            CreateRunRequest(
                project_id=ProjectIdentifier(organization="x", name=PROJECT, domain=DOMAIN),
                task_spec=sleep_spec("root", asks_how_long=True),
                run_spec=RunSpec(),
                inputs=Inputs(literals=[NamedLiteral(name="seconds", value=hour)]),
            )
        )
        self.run = made.run.action.id.run
        uris = await self.runs.get_action_data_u_r_is(
            GetActionDataURIsRequest(action_id=made.run.action.id)
        )
        self._inputs = uris.inputs_uri

    async def watch(self) -> None:
        """Record when each child's end arrives, watching as a parent in a pod does."""
        root = ActionIdentifier(run=self.run, name="a0")
        stream = self.actions.watch_for_updates(WatchForUpdatesRequest(parent_action_id=root))
        try:
            async for message in stream:
                self._note(message)
        except ConnectError as error:
            if error.code is not Code.CANCELED:  # the client raises this when it is cancelled
                raise

    def _note(self, message: WatchForUpdatesResponse) -> None:
        if message.control_message.sentinel:
            self.watched.ready.set()
            return
        update = message.action_update
        if update.phase == ActionPhase.ACTION_PHASE_SUCCEEDED:
            self.watched.ended[update.action_id.name] = time.perf_counter()
            self.watched.changed.set()

    async def enqueue(self, name: str) -> None:
        self.watched.sent[name] = time.perf_counter()
        await self.actions.enqueue(
            EnqueueRequest(
                action=Action(
                    action_id=ActionIdentifier(run=self.run, name=name),
                    parent_action_name="a0",
                    input_uri=self._inputs,
                    run_output_base="unused",
                    task=TaskAction(
                        id=TaskIdentifier(
                            org="x", project=PROJECT, domain=DOMAIN, name="bench.child", version="1"
                        ),
                        spec=self._child,
                    ),
                )
            )
        )

    async def ends(self, prefix: str) -> "dict[str, float]":
        """Return the end times of actions by the agent's clock, in seconds since 1970."""
        found: dict[str, float] = {}
        page = ListRequest(limit=200)
        while True:
            answer = await self.runs.list_actions(ListActionsRequest(run_id=self.run, request=page))
            for action in answer.actions:
                if action.id.name.startswith(prefix):
                    found[action.id.name] = action.status.end_time.ToNanoseconds() / 1e9
            if not answer.token:
                return found
            page.token = answer.token

    async def end(self) -> None:
        await self.runs.abort_run(AbortRunRequest(run_id=self.run, reason="the benchmark is over"))


async def flood(bench: Bench, prefix: str, count: int, at_once: int) -> float:
    """Enqueue ``count`` actions as fast as possible; return the seconds to the last end."""
    names = iter([f"{prefix}{number}" for number in range(count)])

    async def client() -> None:
        for name in names:
            await bench.enqueue(name)

    before = len(bench.watched.ended)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as clients:
        for _ in range(at_once):
            clients.create_task(client())
    await bench.watched.wait_for(before + count)
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies in seconds, measured from the sending of Enqueue."""

    to_agent: Sequence[float]  # until the agent finished it, by the agent's clock
    to_watcher: Sequence[float]  # until a watcher received the end


async def steady(bench: Bench, count: int, per_second: float) -> Latencies:
    """Enqueue at a constant rate."""
    before = len(bench.watched.ended)
    began = time.perf_counter()
    epoch = time.time() - began  # the agent's clock is the machine's
    async with asyncio.TaskGroup() as clients:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            clients.create_task(bench.enqueue(f"s{number}"))
    await bench.watched.wait_for(before + count)
    sent, ended = bench.watched.sent, bench.watched.ended
    done = await bench.ends("s")
    return Latencies(
        to_agent=[at - epoch - sent[name] for name, at in done.items()],
        to_watcher=[at - sent[name] for name, at in ended.items() if name.startswith("s")],
    )


async def measure(stack: Stack, options: argparse.Namespace) -> None:
    bench = Bench(stack.endpoint)
    await bench.begin()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(bench.watch())
        await bench.watched.ready.wait()
        with Progress(transient=True) as progress:
            progress.add_task("warming up", total=None)
            await flood(bench, "w", 500, options.at_once)
            progress.add_task("steady pace", total=None)
            paced = await steady(bench, int(options.rate * options.seconds), options.rate)
            progress.add_task("flood", total=None)
            cpu_before = stack.cpu_seconds()
            took = await flood(bench, "f", options.count, options.at_once)
            cpu_after = stack.cpu_seconds()
        watching.cancel()
    await bench.end()
    with table("Dispatch: core-sleep of zero", "measure", "value") as rows:
        rows.add_row(f"{options.count} actions, actions/s", f"{options.count / took:.0f}")
        for part, seconds in cpu_after.items():
            used = seconds - cpu_before[part]
            rows.add_row(f"  {part}, CPU ms per action", f"{1000 * used / options.count:.2f}")
        for label, seconds_taken in (
            ("Enqueue sent, done at the agent", paced.to_agent),
            ("Enqueue sent, end seen by a watcher", paced.to_watcher),
        ):
            for share in (0.5, 0.99):
                name = f"{label}, at {options.rate:.0f}/s, p{100 * share:.0f} ms"
                rows.add_row(name, f"{1000 * percentile(seconds_taken, share):.1f}")
        for part, size in stack.memory_bytes().items():
            rows.add_row(f"{part}, resident MB", f"{size / 1e6:.0f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5_000, help="actions of the flood")
    parser.add_argument("--at-once", type=int, default=64, help="Enqueue calls under way")
    parser.add_argument("--rate", type=float, default=100.0, help="actions/s of the steady pace")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the steady pace")
    parser.add_argument("up", nargs="*", help="passed on to volary up, after --")
    options = parser.parse_args()
    async with running_stack(*options.up) as stack:
        await measure(stack, options)


if __name__ == "__main__":
    asyncio.run(main())
