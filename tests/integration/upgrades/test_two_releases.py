"""The previous release and the current one on one database, under load, upgraded and rolled back."""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from flyteidl2.common.identifier_pb2 import ActionIdentifier

from controlplane.store import migrations
from controlplane.store.migrations import checks
from controlplane.store.migrations.steps import schema_of_release
from tests.architecture.test_migration_steps import SCHEMA_OF_PREVIOUS_RELEASE
from tests.integration.agent.world import ActionRequest, until_file
from tests.integration.replicas.clients import Client, running_parent
from tests.integration.replicas.test_losing_one import all_succeed, marks_of
from tests.integration.replicas.world import World, nap, running
from tests.integration.upgrades import previous
from tests.running import until
from tests.servers.postgres import DatabaseForTest

_LOADERS = 2
_LONGEST_WAIT_SECONDS = 60
"""An action that waited until leases of a silent cluster expire has waited for 300."""


class Load:
    """Clients that enqueue tasks below one root until they are stopped, and know all names."""

    def __init__(self, world: World, root: ActionIdentifier, marks: Path) -> None:
        self._world, self._root, self._marks = world, root, marks
        self._client = Client(world.replicas)
        self.names: set[str] = set()
        self.processes: set[str] = set()
        self.has_ended = False

    async def run(self, number: int) -> None:
        for count in itertools.count():
            await self._enqueue(f"n{number}-{count}", nap())
            if self.has_ended:
                return

    async def start_process(self, name: str) -> None:
        """Start a task that runs for as long as a program is replaced; wait until it runs."""
        inputs: dict[str, int | str | timedelta] = {"ledger": str(self._marks / name), "seconds": 4}
        await self._enqueue(name, ActionRequest(task="append", inputs=inputs, outputs=["o0"]))
        self.processes.add(name)
        await until_file(self._marks / name)

    async def _enqueue(self, name: str, action: ActionRequest) -> None:
        await self._client.enqueue(self._world.child(self._root, name, action))
        self.names.add(name)


@asynccontextmanager
async def loaded(world: World, marks: Path) -> AsyncIterator[Load]:
    """Have load for the length of a block; at its end all that was enqueued has succeeded."""
    async with running_parent(world, world.replicas[0]) as root:
        load = Load(world, root, marks)
        async with asyncio.TaskGroup() as tasks:
            for number in range(_LOADERS):
                tasks.create_task(load.run(number))
            yield load
            load.has_ended = True
        await all_succeed(Client(world.replicas), root, load.names)


async def replace_replicas(world: World, release: Mapping[str, str], load: Load, name: str) -> None:
    """Replace one replica after the other, as a rolling update does."""
    await load.start_process(name)
    for replica in world.replicas:
        assert await asyncio.to_thread(replica.program.end) == 0
        replica.program.environment.update(release)
        replica.start()
        await until(replica.is_ready, "it is ready again")


async def replace_agent(world: World, release: Mapping[str, str], load: Load, name: str) -> None:
    await load.start_process(name)
    assert await asyncio.to_thread(world.agent.end) == 0
    world.agent.environment.update(release)
    world.agent.start()
    await until(lambda: any(each.has_agent() for each in world.replicas), "it is connected again")


async def read_releases(database: DatabaseForTest) -> tuple[list[str], str]:
    """Return the schemas that connected replicas report, and the newest session's agent."""
    found = await checks.check(database.owner_url, migrations.config(database.owner_url))
    owner = await asyncpg.connect(database.owner_url)
    software = await owner.fetchval(
        "SELECT software FROM agent_sessions ORDER BY epoch DESC LIMIT 1"
    )
    await owner.close()
    return [each.schema for each in found.replicas], software


def volary(database: DatabaseForTest, release: Mapping[str, str], *arguments: str) -> str:
    """Run a command of a release as the database's owner."""
    return subprocess.run(  # noqa: S603 -- our own arguments
        [sys.executable, "-m", "controlplane.cli", *arguments],
        env={**os.environ, "VOLARY_OWNER_DATABASE_URL": database.owner_url, **release},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.timeout(480)
async def test_releases_are_upgraded_and_rolled_back_under_load(
    empty_database: DatabaseForTest, tmp_path: Path
) -> None:
    old, new = previous.environment(previous.export()), previous.current()
    volary(empty_database, old, "controlplane", "migrate")
    marks = tmp_path / "marks"
    marks.mkdir()
    with running(tmp_path / "world", empty_database, replicas=2, variables=old) as world:
        world.start_agent(*world.replicas)
        async with loaded(world, marks) as load:
            before = await checks.read_revision(empty_database.owner_url)
            assert before == SCHEMA_OF_PREVIOUS_RELEASE
            await asyncio.to_thread(volary, empty_database, new, "db", "upgrade")
            assert await checks.read_revision(empty_database.owner_url) == schema_of_release()

            await replace_replicas(world, new, load, "replicas-new")
            await replace_agent(world, new, load, "agent-new")
            schemas, software = await read_releases(empty_database)
            assert schemas == [schema_of_release()] * 2
            assert previous.VERSION not in software

            await replace_replicas(world, old, load, "replicas-old")
            await replace_agent(world, old, load, "agent-old")
            schemas, software = await read_releases(empty_database)
            assert schemas == ["", ""]
            assert previous.VERSION in software

        assert len(load.names) > 50
        assert marks_of(marks) == dict.fromkeys(load.processes, 1)
        assert await world.retries() == 0
        assert await world.longest_wait() < _LONGEST_WAIT_SECONDS
        for program in [world.agent, *(each.program for each in world.replicas)]:
            assert "Traceback" not in program.output()
