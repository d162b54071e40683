"""Fixtures: a control plane behind TLS, and a person who uses the command line."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.store.database import Database
from tests.integration.cli.world import Person
from tests.integration.credentials.conftest import database
from tests.integration.oauth.service import Service, serve

__all__ = ["database"]


@pytest.fixture
async def service(database: Database, tmp_path: Path) -> AsyncIterator[Service]:
    async with serve(database, tmp_path) as service:
        yield service


@pytest.fixture
def person(service: Service, tmp_path: Path) -> Person:
    return Person(tmp_path / "home", service.authority)
