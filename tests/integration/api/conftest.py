"""One open door for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api.door import Door, open_door


@pytest.fixture
async def door(database_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(database_url, tmp_path / "blobs") as door:
        yield door
