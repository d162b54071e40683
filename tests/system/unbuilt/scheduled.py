"""A task with a schedule."""

import flyte

env = flyte.TaskEnvironment(name="scheduled")


@env.task(triggers=flyte.Trigger.hourly())
async def main() -> None:
    """Never run."""
