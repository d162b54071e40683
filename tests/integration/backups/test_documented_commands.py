"""Tests that the commands of docs/backup.md work, in the order in which the page has them."""

import re
import shlex
from pathlib import Path

import pytest

from tests.factories import make_new_run
from tests.integration.backups.conftest import volary
from tests.integration.store.conftest import Store
from tests.servers.postgres import DatabaseForTest

PAGE = Path(__file__).parents[3] / "docs" / "backup.md"
COMMAND = re.compile(r"^ {4,}volary (.*)$", re.MULTILINE)


async def test_commands_of_the_page_about_backups_succeed(
    store: Store,
    test_database: DatabaseForTest,
    empty_database: DatabaseForTest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    await store.create(make_new_run())
    commands = COMMAND.findall(PAGE.read_text())
    assert len(commands) >= 3
    for command in commands:
        filled = command.replace("$RESTORED_DATABASE_URL", empty_database.owner_url)
        before = "--without c1" if "release" in filled else ""  # its agent is of the store's tests
        ran = await volary(
            *shlex.split(f"{filled} {before}", comments=True),
            VOLARY_OWNER_DATABASE_URL=test_database.owner_url,
            VOLARY_DATABASE_URL=empty_database.url,
            VOLARY_BLOB_BASE=(tmp_path / "blobs").as_uri(),
        )
        assert ran.code == 0, (command, ran.output)
