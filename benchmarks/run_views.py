"""
Measures what a viewer of a large run costs the control plane: its CPU time, as processes count it.

``python -m benchmarks.run_views --count 50000``. The run is written into the database; what is
measured is a page that opens its tree, scrolls, and reads its critical path and activity, and for
comparison the SDK's watch of all actions.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
from flyteidl2.workflow.run_service_pb2 import WatchActionsRequest

from benchmarks.dispatch import DOMAIN, PROJECT, Bench
from benchmarks.stack import Stack, running_stack, table
from tests.large_runs import import_actions

_TIMES = 5


async def watch_all(bench: Bench, count: int) -> None:
    seen = 0
    async for message in bench.runs.watch_actions(WatchActionsRequest(run_id=bench.run)):
        seen += len(message.enriched_actions)
        if seen > count:
            return


async def measure(stack: Stack, options: argparse.Namespace) -> None:
    bench = Bench(stack.endpoint)
    await bench.begin()
    await import_actions(stack.superuser_url, bench.run.name, options.count)
    at = {"project": PROJECT, "domain": DOMAIN, "run": bench.run.name}
    window = {"parent": "a0", "limit": 100}
    async with httpx.AsyncClient(base_url=f"http://{stack.endpoint}", timeout=120) as http:

        async def call(rpc: str, **request: Any) -> None:
            answer = await http.post(f"/volary.platform.v1.{rpc}", json={**at, **request})
            answer.raise_for_status()

        async def scroll() -> None:
            for page in range(1, 11):
                node = {**window, "offset": page * 100}
                await call("RunTreeService/GetTree", view={"nodes": [node]})

        steps: Mapping[str, Callable[[], Awaitable[None]]] = {
            "tree: counts and 100 rows": lambda: call(
                "RunTreeService/GetTree", view={"nodes": [window]}
            ),
            "tree: ten more pages": scroll,
            "critical path": lambda: call("ExplanationService/GetCriticalPath"),
            "activity in 500 buckets": lambda: call("ExplanationService/GetActivity", buckets=500),
            "failures by cause": lambda: call("ExplanationService/ListFailures"),
            "WatchActions: the next viewers": lambda: watch_all(bench, options.count),
        }
        with table(
            f"A viewer of a run of {options.count} actions",
            *("measure", "control plane CPU, s", "Postgres CPU, s", "took, s"),
        ) as rows:

            async def add_row(name: str, step: Callable[[], Awaitable[None]], times: int) -> None:
                before, began = stack.cpu_seconds(), time.perf_counter()
                for _ in range(times):
                    await step()
                took, after = time.perf_counter() - began, stack.cpu_seconds()
                rows.add_row(
                    name,
                    f"{(after['control plane'] - before['control plane']) / times:.3f}",
                    f"{(after['postgres'] - before['postgres']) / times:.3f}",
                    f"{took / times:.2f}",
                )

            await add_row(
                "WatchActions: the first viewer", lambda: watch_all(bench, options.count), 1
            )
            for name, step in steps.items():
                await step()  # once without counting: plans, caches, imports
                await add_row(name, step, _TIMES)
    await bench.end()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    options = parser.parse_args()
    async with running_stack() as stack:
        await measure(stack, options)


if __name__ == "__main__":
    asyncio.run(main())
