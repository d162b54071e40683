"""One task, and one that returns nothing."""

import flyte

env = flyte.TaskEnvironment(name="hello")


@env.task
async def main(name: str = "world") -> str:
    print(f"greeting {name}")
    return f"Hello, {name}!"


@env.task
async def nothing() -> None:
    print("nothing to return")


@env.task
def synchronous(number: int) -> int:
    return number + 1
