"""Fixtures of the agent's integration tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.control import control_plane
from tests.integration.agent.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with control_plane() as control:
        yield World(tmp_path, control)
