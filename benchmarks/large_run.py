"""
Measures one run of many actions: duration, memory of the control plane, and late watchers.

A late watcher is one that connects after all actions have ended; the time until it has
received every action is measured.
"""

import argparse
import asyncio
import time

from flyteidl2.workflow.run_service_pb2 import WatchActionsRequest

from benchmarks.dispatch import Bench, flood
from benchmarks.stack import Stack, running_stack, table


async def watch_all(bench: Bench, count: int) -> float:
    """Return the seconds until a new watcher of the run has received ``count`` actions."""
    began = time.perf_counter()
    seen: set[str] = set()
    stream = bench.runs.watch_actions(WatchActionsRequest(run_id=bench.run))
    async for message in stream:
        seen.update(each.action.id.name for each in message.enriched_actions)
        if len(seen) >= count:
            break
    return time.perf_counter() - began


async def measure(stack: Stack, options: argparse.Namespace) -> None:
    bench = Bench(stack.endpoint)
    await bench.begin()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(bench.watch())
        await bench.watched.ready.wait()
        await flood(bench, "w", 200, options.at_once)
        before = stack.memory_bytes()
        took = await flood(bench, "f", options.count, options.at_once)
        after = stack.memory_bytes()
        late = await watch_all(bench, options.count + 201)
        watching.cancel()
    await bench.end()
    with table(f"A run of {options.count} actions", "measure", "value") as rows:
        rows.add_row("first Enqueue to last end seen, s", f"{took:.1f}")
        rows.add_row("a late watcher has seen all, s", f"{late:.2f}")
        for part, size in after.items():
            grown = size - before.get(part, 0)
            rows.add_row(f"{part}, resident MB (grown by)", f"{size / 1e6:.0f} ({grown / 1e6:.0f})")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=64, help="Enqueue calls under way")
    options = parser.parse_args()
    async with running_stack() as stack:
        await measure(stack, options)


if __name__ == "__main__":
    asyncio.run(main())
