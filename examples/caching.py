"""
Cached tasks: an equal call gets the outputs of an earlier one, and does not run.

    flyte run examples/caching.py main --words '["one", "two", "one"]'

`length` runs once for each word, in all runs: start it again, and only `main` runs. It is
serialized: of equal calls at the same time one runs, and the others wait for its outputs.
The results are found again until the body of `length` changes.
"""

import asyncio

import flyte

env = flyte.TaskEnvironment(name="caching")


@env.task(cache=flyte.Cache(behavior="auto", serialize=True))
async def length(word: str) -> int:
    print(f"counting the letters of {word}")
    return len(word)


@env.task
async def main(words: list[str]) -> int:
    return sum(await asyncio.gather(*(length(word) for word in words)))
