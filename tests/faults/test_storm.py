"""Every kind of fault once, in any order, under load: nothing is lost, nothing runs twice."""

from pathlib import Path
from random import Random

import pytest

from tests.faults.kinds import KINDS
from tests.faults.load import Pace
from tests.faults.storm import storm
from tests.faults.world import running
from tests.servers.postgres import DatabaseForTest, PostgresForTests

SEED = 1


@pytest.mark.timeout(400)
async def test_fault_storm_loses_and_duplicates_nothing(
    postgres_server: PostgresForTests, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    chance = Random(SEED)
    lines: list[str] = []
    async with running(tmp_path / "world", test_database, postgres_server.superuser_url) as world:
        kinds = chance.sample(KINDS, len(KINDS))
        reckoning = await storm(world, chance, kinds, Pace(), lines.append, at_once=3)
        assert not reckoning.broken, f"{lines}: {reckoning}\n{world.output()}"
    assert reckoning.processes > 5
    assert reckoning.ends["SUCCEEDED"] > len(KINDS)  # how many more depends on the machine
