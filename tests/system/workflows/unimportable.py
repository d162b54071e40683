"""A module that can be imported where it is deployed from, and not where it runs."""

import os

import flyte

env = flyte.TaskEnvironment(name="unimportable")

if "ACTION_NAME" in os.environ:
    raise ImportError("a library that only the laptop has")


@env.task
async def main() -> None:
    """Never run."""
