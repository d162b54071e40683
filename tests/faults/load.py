"""
Client load of the fault tests: many sleep actions, and processes that write to the ledger.

A client retries a call until it succeeds, at either replica, as the SDK does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, cycle
from random import Random
from typing import TypeVar

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions.actions_service_pb2 import Action, EnqueueRequest
from flyteidl2.common.identifier_pb2 import ActionIdentifier, RunIdentifier
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import TaskAction
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, CreateRunRequest

from tests.faults.world import World
from tests.integration.agent.world import ActionRequest, make_inputs, make_task_spec
from tests.system.api_client import PROJECT_ID, ApiClient

T = TypeVar("T")

_AWAY = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNKNOWN, Code.INTERNAL, Code.CANCELED}
_CALL_MS = 10_000
_ON_DISCONNECT = "VOLARY_ON_DISCONNECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Request rates per second."""

    sleeps: float = 20.0
    chores: float = 1.0
    victims: float = 0.2  # runs that are aborted a little later
    calls: int = 40  # under way; past that nothing is asked, however late it gets


@dataclass(slots=True)
class _Beat:
    """Poisson arrivals at a rate, independent of the time that the calls take."""

    chance: Random
    at: float = field(default_factory=time.monotonic)

    async def next(self, rate: float) -> None:
        self.at += self.chance.expovariate(rate)
        await asyncio.sleep(self.at - time.monotonic())


@dataclass(slots=True)
class Load:
    world: World
    chance: Random
    pace: Pace
    asked: int = 0
    aborted: set[str] = field(default_factory=set)  # runs
    _roots: list[RunIdentifier] = field(default_factory=list)
    _specs: dict[str, TaskSpec] = field(default_factory=dict)
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.pace.calls)

    async def run(self) -> None:
        """Send requests until cancelled; calls in flight are then abandoned."""
        root = await self.begin()
        async with asyncio.TaskGroup() as calls:
            calls.create_task(self._sleeps(calls, root), name="sleeps")
            calls.create_task(self._chores(calls, root), name="chores")
            calls.create_task(self._victims(calls), name="victims")

    async def finish(self) -> None:
        """Abort the parent runs, whose roots would sleep for an hour."""
        for root in self._roots:
            await self._abort(root)

    async def _sleeps(self, calls: asyncio.TaskGroup, root: ActionIdentifier) -> None:
        beat = _Beat(self.chance)
        for number in count():
            await beat.next(self.pace.sleeps)
            long = self.chance.random() < 0.2
            action = (
                _nap(self.chance.choice([1, 3]))
                if long
                else ActionRequest(task="nap", type="core-sleep")
            )
            await self._places.acquire()
            self._call(calls, self._enqueue(root, f"s{number}", action))

    async def _chores(self, calls: asyncio.TaskGroup, root: ActionIdentifier) -> None:
        beat = _Beat(self.chance)
        for number in count():
            await beat.next(self.pace.chores)
            lasts = self.chance.choice([10, 500, 3_000, 8_000])
            action = self._chore(lasts, replaceable=self.chance.random() < 0.5)
            await self._places.acquire()
            self._call(calls, self._enqueue(root, f"c{number}", action))

    def _call(self, calls: asyncio.TaskGroup, call: Coroutine[object, object, None]) -> None:
        task = calls.create_task(call, name="enqueue")
        task.add_done_callback(lambda _: self._places.release())

    async def _victims(self, calls: asyncio.TaskGroup) -> None:
        beat = _Beat(self.chance)
        while True:
            await beat.next(self.pace.victims)
            calls.create_task(self._make_victim(), name="victim")

    async def _make_victim(self) -> None:
        root = await self.begin()
        self.aborted.add(root.run.name)
        for number in range(2):
            action = self._chore(60_000, replaceable=bool(number))
            await self._enqueue(root, f"v{number}", action)
        await asyncio.sleep(self.chance.uniform(0, 3))
        await self._abort(root.run)

    async def begin(self) -> ActionIdentifier:
        """Create a run whose root action sleeps until it is aborted."""
        action = _nap(3600)
        name = f"r{self.chance.getrandbits(48):x}"
        request = CreateRunRequest(
            run_id=RunIdentifier(project=PROJECT_ID.name, domain=PROJECT_ID.domain, name=name),
            task_spec=self._spec(action),
            inputs=make_inputs(action.inputs),
        )
        made = await self._ask(lambda api: api.runs.create_run(request, timeout_ms=_CALL_MS))
        self._roots.append(made.run.action.id.run)
        self.asked += 1
        return made.run.action.id

    async def _enqueue(self, root: ActionIdentifier, name: str, action: ActionRequest) -> None:
        request = EnqueueRequest(
            action=Action(
                action_id=ActionIdentifier(run=root.run, name=name),
                parent_action_name=root.name,
                input_uri=self._inputs(action),
                run_output_base=f"file://{self.world.blobs}",
                task=TaskAction(spec=self._spec(action)),
            )
        )
        await self._ask(lambda api: api.actions.enqueue(request, timeout_ms=_CALL_MS))
        self.asked += 1

    async def _abort(self, run: RunIdentifier) -> None:
        request = AbortRunRequest(run_id=run, reason="the test has seen enough of it")
        await self._ask(lambda api: api.runs.abort_run(request, timeout_ms=_CALL_MS))

    async def _ask(self, call: Callable[[ApiClient], Awaitable[T]]) -> T:
        apis = [replica.api for replica in self.world.replicas]
        for api in cycle(self.chance.sample(apis, len(apis))):
            try:
                return await call(api)
            except ConnectError as error:
                if error.code not in _AWAY:
                    raise
            await asyncio.sleep(0.1)
        raise AssertionError("there are no replicas")

    async def chore(self, root: ActionIdentifier, name: str, milliseconds: int) -> None:
        """Enqueue a process that lasts so long, and that its cluster keeps while disconnected."""
        await self._enqueue(root, name, self._chore(milliseconds, replaceable=False))

    def _chore(self, milliseconds: int, *, replaceable: bool) -> ActionRequest:
        return ActionRequest(
            task="chore",
            module="chore",
            inputs={"ledger": str(self.world.ledger.path), "milliseconds": milliseconds},
            outputs=("o0",),
            env={_ON_DISCONNECT: "replace" if replaceable else "keep"},
        )

    def _spec(self, action: ActionRequest) -> TaskSpec:
        key = repr(action)
        if key not in self._specs:
            self._specs[key] = make_task_spec(action, self.world.bundle)
        return self._specs[key]

    def _inputs(self, action: ActionRequest) -> str:
        """Write the inputs, shared by all actions with equal inputs; return their URI."""
        body = make_inputs(action.inputs).SerializeToString(deterministic=True)
        path = self.world.blobs / "local" / "inputs" / body.hex()[-80:] / "inputs.pb"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        return f"file://{path}"


def _nap(seconds: float) -> ActionRequest:
    return ActionRequest(
        task="nap", type="core-sleep", inputs={"duration": timedelta(seconds=seconds)}
    )
