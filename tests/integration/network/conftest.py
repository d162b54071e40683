"""Tests of the HTTP port run on both event loops: programs use uvloop's, whose TLS is its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.integration.api.client import ApiUnderTest, open_api
from tests.integration.network.served import Served, serve


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def served(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(database_url, tmp_path) as served:
        yield served


@pytest.fixture
async def plain(database_url: str, tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    async with open_api(database_url, tmp_path / "blobs") as api:
        yield api
