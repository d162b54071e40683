"""The environment of a task: variables, its own names, its working directory."""

import os
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="surroundings", env_vars={"FROM_TASK": "task", "BOTH": "task"})


@env.task
async def variables(names: list[str]) -> list[str]:
    return [os.environ.get(name, "unset") for name in names]


@env.task
async def parent(names: list[str]) -> list[str]:
    return await variables(names)


@env.task
async def inherited() -> list[str]:
    return sorted(os.environ)


@env.task
async def whereabouts() -> list[str]:
    context = flyte.ctx()
    assert context is not None
    action = context.action
    return [
        str(part)
        for part in (action.project, action.domain, action.run_name, action.name, Path.cwd())
    ]
