"""
Measures the abort of a run with many live children, and what another run notices of it.

The children are sleeps of an hour, most of them queued. The other run enqueues at a steady rate
before the abort, for comparison, and from the abort until all children have ended.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import WatchActionsRequest

from benchmarks.dispatch import Bench, sleep_spec
from benchmarks.stack import Stack, percentile, running_stack, table

_TERMINAL = {
    ActionPhase.ACTION_PHASE_SUCCEEDED,
    ActionPhase.ACTION_PHASE_FAILED,
    ActionPhase.ACTION_PHASE_ABORTED,
    ActionPhase.ACTION_PHASE_TIMED_OUT,
}


class Ends:
    """Counts the actions of a run that have ended, as a watcher of the run sees them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._ended: set[str] = set()
        self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Watch until cancelled."""
        request = WatchActionsRequest(run_id=self._bench.run)
        try:
            async for message in self._bench.runs.watch_actions(request):
                for each in message.enriched_actions:
                    if each.action.status.phase in _TERMINAL:
                        self._ended.add(each.action.id.name)
                self._changed.set()
        except ConnectError as error:
            if error.code is not Code.CANCELED:  # the client raises this when it is cancelled
                raise

    async def wait_for(self, count: int) -> None:
        while len(self._ended) < count:
            self._changed.clear()
            await self._changed.wait()


class Pace:
    """Enqueues into a run at a constant rate; a refused call counts with its time."""

    def __init__(self, bench: Bench, prefix: str, per_second: float) -> None:
        self._bench = bench
        self._prefix = prefix
        self._per_second = per_second
        self._number = 0
        self.spent: list[float] = []  # seconds of each call that has been answered
        self.refused = 0

    async def run(self, goes_on: Callable[[], bool]) -> None:
        """Enqueue while ``goes_on``, and wait for the answers."""
        began, first = time.perf_counter(), self._number
        async with asyncio.TaskGroup() as calls:
            while goes_on():
                calls.create_task(self._enqueue(f"{self._prefix}{self._number}"))
                self._number += 1
                due = began + (self._number - first) / self._per_second
                await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _enqueue(self, name: str) -> None:
        began = time.perf_counter()
        try:
            await self._bench.enqueue(name)
        except ConnectError:
            self.refused += 1
        self.spent.append(time.perf_counter() - began)

    def take(self) -> Sequence[float]:
        """Return the seconds of the calls answered since the last time this was called."""
        spent, self.spent = self.spent, []
        return spent


@asynccontextmanager
async def paced(bench: Bench, prefix: str, per_second: float) -> AsyncIterator[Pace]:
    """Enqueue into the run during the block."""
    pace, over = Pace(bench, prefix, per_second), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pace.run(lambda: not over.is_set()))
        try:
            yield pace
        finally:
            over.set()


async def measure(stack: Stack, options: argparse.Namespace) -> None:
    bench = Bench(stack.endpoint, child=sleep_spec("child", asks_how_long=True))
    other = Bench(stack.endpoint)
    await bench.begin()
    await other.begin()
    names = iter([f"c{number}" for number in range(options.count)])

    async def client() -> None:
        for name in names:
            await bench.enqueue(name)

    async with asyncio.TaskGroup() as clients:
        for _ in range(options.at_once):
            clients.create_task(client())
    ends = Ends(bench)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(ends.watch())
        async with paced(other, "b", options.rate) as pace:
            await asyncio.sleep(options.seconds)
        before = pace.take()
        async with paced(other, "m", options.rate) as pace:
            began = time.perf_counter()
            await bench.end()
            committed = time.perf_counter() - began
            await ends.wait_for(options.count + 1)
            ended = time.perf_counter() - began
        during = pace.take()
        watching.cancel()
    await other.end()
    with table(f"Abort of a run with {options.count} live children", "measure", "value") as rows:
        rows.add_row("until the abort is committed, ms", f"{1000 * committed:.0f}")
        rows.add_row("until a watcher has seen every end, s", f"{ended:.1f}")
        for label, spent in (("before", before), ("meanwhile", during)):
            for share in (0.5, 0.99):
                measure = f"at {options.rate:.0f}/s, {label}, p{100 * share:.0f} ms"
                milliseconds = f"{1000 * percentile(spent, share):.1f}"
                rows.add_row(f"Enqueue into another run {measure}", milliseconds)
        rows.add_row("Enqueue into another run, meanwhile, calls", f"{len(during)}")
        rows.add_row("Enqueue into another run, meanwhile, refused calls", f"{pace.refused}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="live children of the run")
    parser.add_argument("--at-once", type=int, default=64, help="Enqueue calls under way at first")
    parser.add_argument("--rate", type=float, default=20.0, help="Enqueue/s into the other run")
    parser.add_argument("--seconds", type=float, default=15.0, help="of that before the abort")
    options = parser.parse_args()
    async with running_stack() as stack:
        await measure(stack, options)


if __name__ == "__main__":
    asyncio.run(main())
