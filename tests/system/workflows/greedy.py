"""A task that requests more memory than its neighbours."""

import flyte

env = flyte.TaskEnvironment(name="greedy", resources=flyte.Resources(memory="200Mi"))


@env.task
async def main() -> str:
    return "done"
