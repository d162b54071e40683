"""What every test stands on: real servers, and the rule that no test leaves a task behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.program_logs",
    "tests.servers.kubernetes",
    "tests.servers.pgbouncer",
    "tests.servers.postgres",
    "tests.servers.seaweed",
    "tests.tiers",
]

# A deadline of milliseconds fails on a busy machine, and says nothing on an idle one.
settings.register_profile("volary", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True)  # for make coverage
settings.load_profile("volary")


@pytest.fixture(autouse=True)
async def no_task_is_left_behind() -> AsyncIterator[None]:
    """Fail a test whose tasks outlive it; nobody would hear how they end."""
    before = asyncio.all_tasks()
    yield
    left = _left_since(before)
    for _ in range(10):  # a task that was told to stop may need a turn of the loop to do so
        if left:
            await asyncio.sleep(0)
            left = _left_since(before)
    if left:
        pytest.fail(f"tasks outlive the test: {sorted(task.get_name() for task in left)}")


def _left_since(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    since = asyncio.all_tasks() - before
    return {task for task in since if not task.done() and task is not asyncio.current_task()}
