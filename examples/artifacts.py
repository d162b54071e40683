"""
Artifacts: a task's output becomes a version of a name, which other runs find.

    flyte run examples/artifacts.py main --text "some words"
    flyte get artifact words
"""

import flyte
import flyte.artifacts
from flyte.io import File

env = flyte.TaskEnvironment(name="artifacts")


@env.task(produces_artifacts=True)
async def train(text: str) -> File:
    """Return a file, of which the control plane makes a version once the task has succeeded."""
    file = File.new_remote("words.txt")
    async with file.open("wb") as stream:
        await stream.write(text.encode())
    metadata = flyte.artifacts.Metadata(name="words", kind="data", partitions={"language": "en"})
    return flyte.artifacts.new(file, metadata)


@env.task
async def main(text: str = "some words") -> int:
    """Return how many words the file has."""
    file = await train(text)
    async with file.open("rb") as stream:
        return len(bytes(await stream.read()).split())
