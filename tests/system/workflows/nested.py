"""Tasks that call tasks that call tasks, in groups and maps."""

import asyncio
import functools

import flyte

env = flyte.TaskEnvironment(name="nested")


@env.task
async def leaf(number: int, factor: int) -> int:
    return number * factor


@env.task
async def middle(numbers: int) -> int:
    return sum(await asyncio.gather(*(leaf(number, 10) for number in range(numbers))))


@env.task
async def main() -> int:
    return await middle(2)


@env.task
async def grouped() -> int:
    with flyte.group("tens"):
        tens = await leaf(1, 10)
    with flyte.group("hundreds"):
        hundreds = await leaf(1, 100)
    return tens + hundreds


@env.task
async def mapped(numbers: int) -> list[int]:
    twice = functools.partial(leaf, factor=2)
    results = [number async for number in flyte.map.aio(twice, range(numbers), concurrency=2)]
    return [number for number in results if not isinstance(number, Exception)]


@env.task
async def deep(levels: int) -> int:
    """Call itself: each level waits for the one below."""
    return 1 + await deep(levels - 1) if levels > 1 else 1


@env.task
async def broad(numbers: int) -> int:
    return sum(await asyncio.gather(*(leaf(number, 1) for number in range(numbers))))
