"""
Steps of the schema: an expand step removes nothing, a contract step says whom it would break.

Squawk, in ``test_migrations``, finds the statements that lock or rewrite a table.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from alembic.script import Script

from controlplane.core.schema_steps import Step, StepKind
from controlplane.store.migrations.steps import read_step
from tests.architecture.test_migrations import (
    _REVISIONS,
    name_revision,
    without_alembics_table,
    write_sql,
)

SCHEMA_OF_PREVIOUS_RELEASE = "0056"
"""A contract step may only remove what that release, which serves beside this one, does not use."""

# What the previous release may be using, and what would rewrite or read a whole table at once.
_REMOVES: Mapping[str, str] = {
    "drops a table": r"\bDROP\s+TABLE\b",
    "drops a column": r"\bDROP\s+COLUMN\b",
    "drops a view": r"\bDROP\s+(MATERIALIZED\s+)?VIEW\b",
    "drops a function": r"\bDROP\s+FUNCTION\b",
    "drops an index": r"\bDROP\s+INDEX\b(?!\s+CONCURRENTLY\s+IF\s+EXISTS)",
    "drops a policy": r"\bDROP\s+POLICY\b",
    "renames": r"\bRENAME\s+(TO|COLUMN|CONSTRAINT)\b",
    "changes a type": r"\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b",
    "requires a value": r"\bALTER\s+(COLUMN\s+)?\w+\s+SET\s+NOT\s+NULL\b",
    "takes a right": r"\bREVOKE\b(?![^;]*\b(alembic_version|FROM\s+PUBLIC)\b)",
    "empties a table": r"(?:^|;)\s*TRUNCATE\b",
}
_BLOCKS: Mapping[str, str] = {
    "locks a table for the whole transaction": r"\bLOCK\s+(TABLE\s+)?\w+\s+IN\b",
    "rewrites a table": r"(?:^|;)\s*(VACUUM\s+FULL|CLUSTER\s|REINDEX\s+(?!.*CONCURRENTLY))",
    "updates all rows in one statement": r"(?:^|;)\s*(UPDATE|DELETE\s+FROM)\s(?!alembic_version)",
}
_GRANDFATHERED: Mapping[str, Sequence[str]] = {
    "expand_foundation": ["takes a right"],  # of tables that it has just created
    "expand_dispatch_parents": ["updates all rows in one statement"],  # of what waits or is leased
    "expand_sealed_configs": ["updates all rows in one statement"],  # an org has few of them
}
"""Finds of a released revision, by its kind and subject, that would be refused today."""


def find_faults(step: Step, sql: str, *, previous: str = SCHEMA_OF_PREVIOUS_RELEASE) -> list[str]:
    """List what is wrong with a revision for its kind."""
    faults = [] if re.fullmatch(r"\d{4}", step.revision) else ["its revision is not four digits"]
    outside = re.sub(r"\$(\w*)\$[\s\S]*?\$\1\$", "", sql)  # and no loop over pages
    faults += [what for what, form in _BLOCKS.items() if _finds(form, outside)]
    if step.kind is StepKind.CONTRACT:
        return [*faults, *_find_faults_of_contract(step, previous)]
    without_functions = re.sub(r"\bAS\s+\$(\w*)\$[\s\S]*?\$\1\$", "", sql)
    faults += [what for what, form in _REMOVES.items() if _finds(form, without_functions)]
    return [*faults, *(["only a contract step has `requires`"] if step.requires else [])]


def _finds(form: str, sql: str) -> bool:
    without_comments = re.sub(r"--[^\n]*", "", sql)
    return re.search(form, without_comments, re.IGNORECASE) is not None


def _find_faults_of_contract(step: Step, previous: str) -> list[str]:
    if not step.requires:
        return ["a contract step names the oldest schema that it leaves working: requires = …"]
    if step.requires > step.revision:
        return ["it requires a schema that comes later"]
    if step.revision > previous and step.requires > previous:
        return [f"the previous release, of schema {previous}, still uses what it removes"]
    return []


@pytest.mark.parametrize("revision", _REVISIONS, ids=lambda revision: Path(revision.path).stem)
def test_migration_does_what_its_kind_allows(revision: Script) -> None:
    sql = without_alembics_table(write_sql(revision))
    faults = find_faults(read_step(revision), sql)
    assert sorted(set(faults)) == sorted(_GRANDFATHERED.get(name_revision(revision), [])), sql


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("ALTER TABLE relays DROP COLUMN wish", "drops a column"),
        ("DROP TABLE relays", "drops a table"),
        ("ALTER TABLE runs RENAME COLUMN a TO b", "renames"),
        ("ALTER TABLE runs ALTER COLUMN a TYPE bigint", "changes a type"),
        ("ALTER TABLE runs ALTER COLUMN a SET NOT NULL", "requires a value"),
        ("DROP INDEX CONCURRENTLY runs_by_name", "drops an index"),
        ("DROP POLICY p ON runs", "drops a policy"),
        ("REVOKE SELECT ON runs FROM volary_app", "takes a right"),
        ("LOCK TABLE runs IN SHARE MODE", "locks a table for the whole transaction"),
        ("SELECT 1;\nUPDATE runs SET a = 1", "updates all rows in one statement"),
        ("REINDEX TABLE runs", "rewrites a table"),
    ],
)
def test_linter_refuses_an_expand_step_that_removes_or_blocks(sql: str, fault: str) -> None:
    assert find_faults(Step("0100", StepKind.EXPAND, "x"), sql) == [fault]


def test_linter_accepts_additions_and_backfills_in_pages() -> None:
    for sql in (
        "ALTER TABLE runs ADD COLUMN a int; GRANT SELECT ON runs TO volary_app",
        "DO $$ BEGIN LOOP UPDATE runs SET a = 1; COMMIT; END LOOP; END $$",
        "DROP INDEX CONCURRENTLY IF EXISTS a; CREATE INDEX CONCURRENTLY a ON runs (b)",
    ):
        assert find_faults(Step("0100", StepKind.EXPAND, "x"), sql) == []


def test_linter_holds_a_contract_step_to_what_the_previous_release_uses() -> None:
    sql = "ALTER TABLE relays DROP COLUMN wish"

    def faults(requires: str) -> list[str]:
        step = Step("0100", StepKind.CONTRACT, "x", requires=requires)
        return find_faults(step, sql, previous="0090")

    assert faults("0089") == faults("0090") == []
    assert faults("0091") == ["the previous release, of schema 0090, still uses what it removes"]
    assert faults("0101") == ["it requires a schema that comes later"]
    assert faults("")[0].startswith("a contract step names the oldest schema")
