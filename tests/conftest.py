"""
What every test stands on: servers, and the rules that no test may break.

* No test leaves an asyncio task behind.
* Where ``CI`` is set, nothing is skipped: a tier that cannot run is a failure there.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Generator

import pytest

pytest_plugins = ["tests.servers.postgres", "tests.servers.seaweed"]


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {report.longrepr}"
    return report
