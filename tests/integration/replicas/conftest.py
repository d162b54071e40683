"""Three replicas for everybody, with the agent at the first; and worlds to be broken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.replicas.world import World, running
from tests.servers.postgres import DatabaseForTest, PostgresForTests


@pytest.fixture(scope="package")
def world(
    postgres_server: PostgresForTests, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Replicas that tests share: the agent is at the first, and no replica is stopped."""
    home = tmp_path_factory.mktemp("replicas")
    with postgres_server.migrated() as database, running(home, database, replicas=3) as world:
        world.start_agent(world.replicas[0])
        yield world


@pytest.fixture
def own_world(test_database: DatabaseForTest, tmp_path: Path) -> Iterator[World]:
    """Replicas of this test's own; no agent is running."""
    with running(tmp_path / "world", test_database, replicas=3) as world:
        yield world
