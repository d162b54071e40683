"""A served API for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api.client import ApiUnderTest, open_api


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    async with open_api(database_url, tmp_path / "blobs") as api:
        yield api
