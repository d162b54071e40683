"""Files and directories between tasks: their addresses travel, their bytes stay put."""

import asyncio
import tempfile
from pathlib import Path

import flyte
from flyte.io import Dir, File

env = flyte.TaskEnvironment(name="files")


@env.task
async def write(text: str) -> File:
    file = File.new_remote("note.txt")
    async with file.open("wb") as stream:
        await stream.write(text.encode())
    return file


@env.task
async def gather(files: list[File]) -> Dir:
    into = Path(tempfile.mkdtemp())
    for number, file in enumerate(files):
        async with file.open("rb") as stream:
            into.joinpath(f"{number}.txt").write_bytes(bytes(await stream.read()))
    return await Dir.from_local(into)


@env.task
async def main(texts: list[str]) -> list[str]:
    """Return what was written, after a journey through files and a directory."""
    files = await asyncio.gather(*(write(text) for text in texts))
    directory = await gather(list(files))
    read = []
    async for file in directory.walk():
        async with file.open("rb") as stream:
            read.append(bytes(await stream.read()).decode())
    return sorted(read)


@env.task
async def size(file: File) -> int:
    """Take a file that the client has uploaded."""
    async with file.open("rb") as stream:
        return len(bytes(await stream.read()))


@env.task
async def names(directory: Dir) -> list[str]:
    """Take a directory that the client has uploaded."""
    return sorted([str(file.name) async for file in directory.walk()])
