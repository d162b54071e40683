"""Squawk, a linter of Postgres migrations, over the SQL that each revision writes."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from controlplane.store import migrations
from tests.migrations.revisions import CREATE_INDEX, add_revisions

_OLDEST_POSTGRES = "15"
_NOT_OUR_RULES = {
    "prefer-bigint-over-int": "small numbers are small on purpose; keys are UUIDs",
    "prefer-bigint-over-smallint": "the same",
    "prefer-robust-stmts": "each revision is one transaction, and Alembic notes it in the same",
    "require-lock-timeout": "migrations/env.py sets it for all",
    "require-statement-timeout": "migrations/env.py sets it for all",
}
_EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "expand_dispatch_parents": {
        "require-concurrent-index-creation": "dispatches has only what waits or is leased",
    },
    "expand_priority": {
        "ban-drop-default": "this revision adds the column and its default; no release relies on it",
    },
}
"""Rules that a revision may break, with the reason; by its kind and subject, as in its file."""

_SCRIPT = ScriptDirectory.from_config(migrations.config("postgresql://nobody@nowhere/nothing"))
_REVISIONS = sorted(_SCRIPT.walk_revisions(), key=lambda revision: revision.path)


def name_revision(revision: Script) -> str:
    """Return its kind and subject: its number may change before it is released."""
    return Path(revision.path).stem.split("_", 2)[2]


def write_sql(revision: Script, config: Config | None = None) -> str:
    """Write what an upgrade to this revision, from the one before, would execute."""
    config = config or migrations.config("postgresql://nobody@nowhere/nothing")
    config.output_buffer = io.StringIO()
    before = revision.down_revision or "base"
    command.upgrade(config, f"{before}:{revision.revision}", sql=True)
    return config.output_buffer.getvalue()


def find_complaints(sql: str, *, except_for: Mapping[str, str]) -> list[str]:
    excluded = [f"--exclude={rule}" for rule in {**_NOT_OUR_RULES, **except_for}]
    squawk = Path(sys.executable).with_name("squawk")
    done = subprocess.run(  # noqa: S603 -- our own arguments
        [squawk, f"--pg-version={_OLDEST_POSTGRES}", "--reporter=json", *excluded],
        input=sql,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = json.loads(done.stdout)
    return [f"{each['rule_name']} (line {each['line']}): {each['message']}" for each in complaints]


@pytest.mark.parametrize("revision", _REVISIONS, ids=lambda revision: Path(revision.path).stem)
def test_migration_takes_no_blocking_lock(revision: Script) -> None:
    sql = without_alembics_table(write_sql(revision))
    assert revision.revision in sql
    excepted = _EXCEPTIONS.get(name_revision(revision), {})
    assert find_complaints(sql, except_for=excepted) == [], sql


def without_alembics_table(sql: str) -> str:
    return "BEGIN;\n" + sql[sql.index("-- Running upgrade") :]


def test_migration_with_concurrent_index_satisfies_the_linter(tmp_path: Path) -> None:
    config = migrations.config("postgresql://nobody@nowhere/nothing")
    [added] = add_revisions(config, tmp_path, CREATE_INDEX)
    script = ScriptDirectory.from_config(config)
    revision = script.get_revision(added)
    assert revision is not None
    sql = without_alembics_table(write_sql(revision, config))
    assert "CREATE INDEX CONCURRENTLY runs_by_test" in sql
    assert find_complaints(sql, except_for={}) == [], sql


def test_migration_linter_reports_blocking_statements() -> None:
    sql = "ALTER TABLE runs ADD COLUMN x text NOT NULL; CREATE INDEX runs_x ON runs (x);"
    rules = [complaint.partition(" ")[0] for complaint in find_complaints(sql, except_for={})]
    assert "require-concurrent-index-creation" in rules
    assert "adding-required-field" in rules


def test_migration_linter_exceptions_are_needed() -> None:
    revisions = {name_revision(revision): revision for revision in _REVISIONS}
    for name, rules in _EXCEPTIONS.items():
        found = "\n".join(find_complaints(write_sql(revisions[name]), except_for={}))
        assert [rule for rule in rules if rule not in found] == []
