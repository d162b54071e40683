"""Fixtures of all tests: real servers, and a check that no test leaves an asyncio task behind."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from httpx import _config
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

# Of every call of a test that says nothing else: it detects a hang, and httpx's own five seconds
# are less than an answer takes on a machine with other work. httpx has no public means for it.
vars(_config.DEFAULT_TIMEOUT_CONFIG).update(vars(httpx.Timeout(60)))


@pytest.fixture(autouse=True)
async def no_task_is_left_behind() -> AsyncIterator[None]:
    """Fail a test whose tasks outlive it: their exceptions would be lost."""
    before = asyncio.all_tasks()
    yield
    left = _left_since(before)
    for _ in range(10):  # a cancelled task may need an iteration of the event loop to end
        if left:
            await asyncio.sleep(0)
            left = _left_since(before)
    if left:
        pytest.fail(f"tasks outlive the test: {sorted(task.get_name() for task in left)}")


def _left_since(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    since = asyncio.all_tasks() - before
    return {task for task in since if not task.done() and task is not asyncio.current_task()}
