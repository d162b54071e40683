"""One stack per worker with every workflow deployed; tests that break it get their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.api_client import ApiClient
from tests.system.commands import Flyte
from tests.system.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shared stack; tests that kill or break it use ``own_stack``."""
    with Stack(tmp_path_factory.mktemp("stack")).running() as stack:
        yield stack


@pytest.fixture(scope="session")
def flyte(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Flyte:
    """A user of the shared stack, who has deployed every workflow."""
    flyte = Flyte(stack, tmp_path_factory.mktemp("home"))
    flyte.deploy()
    return flyte


@pytest.fixture
async def api(stack: Stack, flyte: Flyte) -> ApiClient:
    """The shared stack's API, with every workflow deployed."""
    del flyte
    return ApiClient(stack.url)


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of this test's own, to be killed and started again; nothing is deployed."""
    with Stack(tmp_path / "stack").running() as stack:
        yield stack
