"""Every runtime, with work of its own kind: one that ends at once, one that would not end."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.environment import Endpoint
from dataplane.agent.runtimes.inline import InlineRuntime
from dataplane.agent.runtimes.process.environment import inherited
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from dataplane.agent.runtimes.process.spawner import Spawner
from dataplane.agent.runtimes.protocol import Job, Runtime
from dataplane.agent.runtimes.tasks import Variable
from shared.kit.clock import SystemClock
from tests.integration.agent.world import make_inputs
from tests.unit.agent.assignments import make_assignment, make_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A runtime under test, and how to make the next of its agents."""

    runtime: Runtime
    another: Callable[[], Runtime]
    short: Job
    endless: Job


class Reported:
    """Remembers what a runtime told of an attempt."""

    def __init__(self) -> None:
        self.update: asyncio.Queue[StatusUpdate] = asyncio.Queue()

    async def __call__(self, update: StatusUpdate) -> None:
        self.update.put_nowait(update)


def _make_process_bench(root: Path) -> Bench:
    clock = SystemClock()
    base = inherited(os.environ)

    def make() -> ProcessRuntime:
        return ProcessRuntime(
            root=root / "attempts",
            spawner=Spawner(base, root, clock, warm=False),
            stores=Stores(clock),
            base=base,
            endpoint=Endpoint(address="localhost:1", insecure=True),
            grace=timedelta(seconds=1),
            clock=clock,
        )

    blobs = f"file://{root}/blobs"
    return Bench(
        runtime=make(),
        another=make,
        # The runtime is indifferent to what it starts; a0 itself is the integration tests'.
        short=make_job(make_assignment(1, base=blobs), args=("echo", "hello")),
        endless=make_job(make_assignment(2, base=blobs), args=("sleep", "300")),
    )


def _make_inline_bench(root: Path) -> Bench:
    clock = SystemClock()

    def make() -> InlineRuntime:
        return InlineRuntime(Stores(clock), clock)

    def sleep(number: int, seconds: float) -> Job:
        assignment = make_assignment(number, base=f"file://{root}/blobs", task_type="core-sleep")
        path = Path(assignment.input_uri.removeprefix("file://"))
        path.parent.mkdir(parents=True)
        inputs = make_inputs({"d": timedelta(seconds=seconds)})
        path.write_bytes(inputs.SerializeToString())
        job = make_job(assignment, inputs=(Variable("d", is_duration=True),))
        return replace(job, accepted_at=clock.now())

    return Bench(runtime=make(), another=make, short=sleep(1, 0), endless=sleep(2, 300))


@pytest.fixture(params=["process", "inline"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    make = _make_process_bench if request.param == "process" else _make_inline_bench
    made = make(tmp_path)
    yield made
    if isinstance(made.runtime, ProcessRuntime):
        await made.runtime.sweep([], timedelta(hours=1))  # a failed test may leave a process


@pytest.fixture
def last_reported() -> Reported:
    return Reported()
