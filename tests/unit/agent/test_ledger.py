"""Tests of the SQLite ledger: group commit and format."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.ledger import Ledger
from shared.model.phases import Phase
from tests.unit.agent.assignments import NOW, make_assignment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


async def test_ledger_group_commit_keeps_all_attempts(path: Path) -> None:
    assignments = [make_assignment(number) for number in range(1, 1001)]
    async with Ledger.open(path) as ledger:
        await ledger.accept(assignments, {}, NOW)
        async with asyncio.TaskGroup() as tasks:
            for assignment in assignments:
                tasks.create_task(
                    ledger.record(assignment.attempt, [StatusUpdate(phase=Phase.RUNNING)], NOW)
                )

    async with Ledger.open(path) as ledger:
        assert {active.phase for active in ledger.active.values()} == {Phase.RUNNING}
        assert len(ledger.active) == 1000


async def test_ledger_of_other_format_is_refused_with_remedy(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(LedgerError, match="empty --data-dir"):
        async with Ledger.open(path):
            pass
