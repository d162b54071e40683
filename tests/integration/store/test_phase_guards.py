"""Tests that SQL and Python allow the same phase changes."""

from sqlalchemy import text

from controlplane.store.phase_guards import has_ended, is_live, may_be_retried, may_become
from controlplane.store.tables import LIVE
from shared.model.phases import NEXT, RETRIED_FROM, TERMINAL, Phase, UnlawfulPhaseError, advance
from tests.factories import ORG
from tests.integration.store.conftest import Store

PHASES = ", ".join(f"({phase.value})" for phase in NEXT)


async def test_phase_guard_in_sql_agrees_with_the_phase_table_on_every_pair(store: Store) -> None:
    async with store.database.for_org(ORG) as tx:
        rows = await tx.rows(
            text(
                f"SELECT c.phase AS current, n.phase AS next, {may_become('c.phase', 'n.phase')}"  # noqa: S608
                f" AS lawful FROM (VALUES {PHASES}) AS c (phase), (VALUES {PHASES}) AS n (phase)"
            )
        )
    assert len(rows) == len(NEXT) ** 2
    for row in rows:
        current, next_steps = Phase(row.current), Phase(row.next)
        assert row.lawful is _may_be_written(current, next_steps), (current, next_steps)


def _may_be_written(current: Phase, next_steps: Phase) -> bool:
    """Return whether Python lets an action in ``current`` be written as ``next_steps``."""
    if current in TERMINAL:
        return False
    try:
        return advance(current, next_steps) is next_steps
    except UnlawfulPhaseError:
        return False


async def test_phase_guards_of_ends_and_retries_agree_with_python(store: Store) -> None:
    async with store.database.for_org(ORG) as tx:
        rows = await tx.rows(
            text(
                f"SELECT phase, {has_ended('phase')} AS ended, {is_live('phase')} AS live,"  # noqa: S608
                f" {LIVE} AS indexed, {may_be_retried('phase')} AS retried"
                f" FROM (VALUES {PHASES}) AS v (phase)"
            )
        )
    assert {Phase(row.phase) for row in rows if row.ended} == TERMINAL
    assert {Phase(row.phase) for row in rows if row.live} == set(NEXT) - TERMINAL
    assert {Phase(row.phase) for row in rows if row.indexed} == set(NEXT) - TERMINAL
    assert {Phase(row.phase) for row in rows if row.retried} == RETRIED_FROM
