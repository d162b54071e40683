"""
A tracked run: it happens on this machine, and is shown beside the runs of clusters.

    flyte run --tracked --name local-count examples/tracking.py main --words '["one", "three"]'
    flyte get run local-count
    flyte get action local-count
    flyte get io local-count

Its name begins with neither r nor u. No cluster is needed, and none of it is queued.
"""

import asyncio

import flyte
import flyte.report

env = flyte.TaskEnvironment(name="tracking")


@env.task
async def count(word: str) -> int:
    return len(word)


@env.task(report=True)
async def main(words: list[str]) -> int:
    with flyte.group("counts"):
        letters = await asyncio.gather(*(count(word) for word in words))
    await flyte.report.replace.aio(f"<h1>{sum(letters)} letters</h1>", do_flush=True)
    return sum(letters)
