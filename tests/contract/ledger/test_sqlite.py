"""Runs the ledger's contract tests on the SQLite journal."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from dataplane.agent.ledger.ledger import Ledger
from tests.contract.ledger.promises import LedgerPromises, Open


class TestSqlite(LedgerPromises):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Open:
        def open_again() -> AbstractAsyncContextManager[Ledger]:
            return Ledger.open(tmp_path / "ledger.sqlite3")

        return open_again
