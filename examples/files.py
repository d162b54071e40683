"""
Files and directories: tasks pass URIs to each other; the bytes stay in the bucket.

    flyte run examples/files.py main --lines 100
"""

import tempfile
from pathlib import Path

import flyte
from flyte.io import Dir, File

env = flyte.TaskEnvironment(name="files")


@env.task
async def write_poem(lines: int) -> File:
    poem = File.new_remote("poem.txt")
    async with poem.open("wb") as stream:
        for number in range(lines):
            await stream.write(f"line {number}\n".encode())
    return poem


@env.task
async def tear_apart(poem: File) -> Dir:
    async with poem.open("rb") as stream:
        lines = bytes(await stream.read()).decode().splitlines()
    # Not removed here: the SDK may upload the directory after the task has returned.
    pieces = Path(tempfile.mkdtemp())
    for number, line in enumerate(lines):
        (pieces / f"{number:04}.txt").write_text(line)
    return await Dir.from_local(pieces)


@env.task
async def main(lines: int = 10) -> int:
    """Return how many pieces the poem was torn into."""
    pieces = await tear_apart(await write_poem(lines))
    return len([piece async for piece in pieces.walk()])
