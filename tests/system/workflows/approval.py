"""Conditions: a run waits for a signal, or until it times out."""

import flyte

env = flyte.TaskEnvironment(name="approval")


@env.task
async def main(kind: str) -> str:
    types = {"bool": bool, "int": int, "float": float, "str": str}
    condition = await flyte.new_condition.aio(
        "approve", prompt="Go on?", data_type=types[kind], description="a test asks"
    )
    answer = await condition.wait.aio()
    return f"{type(answer).__name__} {answer}"


@env.task
async def impatient() -> str:
    condition = await flyte.new_condition.aio("approve", prompt="Quick?", timeout=1)
    try:
        await condition.wait.aio()
    except flyte.errors.ConditionTimedoutError:
        return "nobody answered"
    return "answered"


@env.task
async def by_webhook(url: str) -> str:
    condition = await flyte.new_condition.aio(
        "approve",
        prompt="Go on?",
        data_type=str,
        webhook=flyte.ConditionWebhook(url=url, payload={"answer_to": "{callback_uri}"}),
    )
    return f"it said {await condition.wait.aio()}"
