"""
One task: the smallest workflow there is.

    flyte run examples/hello.py main --name you
"""

import flyte

env = flyte.TaskEnvironment(name="hello")


@env.task
async def main(name: str = "world") -> str:
    print(f"greeting {name}")
    return f"Hello, {name}!"
