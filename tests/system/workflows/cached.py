"""Cached tasks: roots and children, files, ignored inputs, and serialized calls."""

import asyncio

import flyte
from flyte.io import File

env = flyte.TaskEnvironment(name="cached")


@env.task(cache="auto")
async def double(number: int) -> int:
    return 2 * number


@env.task(cache=flyte.Cache(behavior="auto", ignored_inputs=("note",)))
async def measure(words: dict[str, int], note: str) -> int:
    return sum(words.values()) + len(note)


@env.task(cache=flyte.Cache(behavior="auto", serialize=True))
async def once(number: int) -> int:
    return 3 * number


@env.task(cache="auto")
async def write(text: str) -> File:
    file = File.new_remote("note.txt")
    async with file.open("wb") as stream:
        await stream.write(text.encode())
    return file


@env.task
async def twice(number: int) -> list[int]:
    return [await double(number), await double(number)]


@env.task
async def ignoring(number: int) -> list[int]:
    first = await measure({"a": 1, "b": number}, "xy")
    return [first, await measure({"b": number, "a": 1}, "xyz")]


@env.task
async def together(number: int, calls: int) -> list[int]:
    return list(await asyncio.gather(*(once(number) for _ in range(calls))))


@env.task
async def reading(text: str) -> str:
    await write(text)
    file = await write(text)
    async with file.open("rb") as stream:
        return bytes(await stream.read()).decode()
