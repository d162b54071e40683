"""Fixtures of all tests: real servers, and a check that no test leaves an asyncio task behind."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import httpx
import pytest
from httpx import _config
from httpx._transports import default as _transport
from hypothesis import settings

# Programs under test import thousands of modules, and so does each worker of xdist: compiled
# once, whatever the machine's environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell lets jobs in its background ignore SIGINT, and programs under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.distribution",
    "tests.leftovers",
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


@cache
def _system_trust(*_where: str | None) -> ssl.SSLContext:
    return _config.create_ssl_context()


def _create_ssl_context(*, verify: Any = True, cert: Any = None, trust_env: bool = True) -> Any:
    """Create a client's TLS context; one for all that trust what the system trusts."""
    if verify is True and cert is None and trust_env:
        return _system_trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return _config.create_ssl_context(verify, cert, trust_env)


# Each client that a test makes reads the file of authorities again: 25 ms, thousands of times.
vars(_transport)["create_ssl_context"] = _create_ssl_context


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
