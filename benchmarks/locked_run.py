"""
Measures Enqueue into a run while a transaction holds the row of another run of the same org.

Calls into the locked run wait meanwhile, as its own tasks would. The calls into the free run are
measured before, for comparison, and while the row is locked.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from benchmarks.aborts import paced
from benchmarks.dispatch import Bench
from benchmarks.stack import Stack, percentile, running_stack, table


@asynccontextmanager
async def locked(stack: Stack, run: str) -> AsyncIterator[None]:
    """Hold the row of a run in a transaction during the block."""
    connection = await asyncpg.connect(stack.superuser_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM runs WHERE run = $1 FOR UPDATE", run)
            yield
    finally:
        await connection.close()


async def measure(stack: Stack, options: argparse.Namespace) -> None:
    bench, free = Bench(stack.endpoint), Bench(stack.endpoint)
    await bench.begin()
    await free.begin()
    async with paced(free, "b", options.rate) as pace:
        await asyncio.sleep(options.seconds)
    before = pace.take()
    async with paced(bench, "w", 1.0) as waiting, locked(stack, bench.run.name):
        async with paced(free, "m", options.rate) as pace:
            await asyncio.sleep(options.seconds)
        during = pace.take()
    await bench.end()
    await free.end()
    with table("Enqueue while another run of the org is locked", "measure", "value") as rows:
        for label, spent in (("before", before), ("meanwhile", during)):
            for share in (0.5, 0.99):
                name = f"into the free run at {options.rate:.0f}/s, {label}, p{100 * share:.0f} ms"
                rows.add_row(name, f"{1000 * percentile(spent, share):.1f}")
        rows.add_row("into the free run, meanwhile, calls", f"{len(during)}")
        rows.add_row("into the free run, meanwhile, refused calls", f"{pace.refused}")
        rows.add_row("into the locked run, calls", f"{len(waiting.take())}")
        rows.add_row("into the locked run, refused calls", f"{waiting.refused}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=20.0, help="Enqueue/s into the free run")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each part")
    options = parser.parse_args()
    async with running_stack() as stack:
        await measure(stack, options)


if __name__ == "__main__":
    asyncio.run(main())
