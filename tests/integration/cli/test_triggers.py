"""Commands of triggers, with an API key."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from controlplane.core.firings import FiringReason, record_skipped, record_started
from controlplane.core.schedules import CronSchedule, RateSchedule
from controlplane.core.triggers import TriggerRow, advance, skip
from controlplane.store.database import Database
from controlplane.store.dispatch.firings import save_progress
from controlplane.store.resources.trigger_firings import record_firings
from controlplane.store.resources.triggers import save_triggers
from tests.factories import ORG
from tests.integration.cli.program import Program, program, service
from tests.unit.controlplane.core.test_triggers import KEY, deployed

__all__ = ["program", "service"]

NIGHTLY = ("env.main", "nightly", "-p", "p")


async def save(database: Database) -> TriggerRow:
    """Save a trigger that started a run in time and skipped one, and one of a rate."""
    row = deployed(
        datetime(2026, 10, 24, 12, tzinfo=UTC), schedule=CronSchedule("30 1 * * *", "Europe/London")
    )
    often = deployed(schedule=RateSchedule(timedelta(minutes=90), row.deployed_at))
    first = row.fire_at
    assert first is not None
    async with database.for_org(ORG) as tx:
        await save_triggers(tx, [row, replace(often, key=replace(KEY, name="often"))])
        row, started = record_started(row, advance(row, first, first), first, "tr1", first)
        second = row.fire_at
        assert second is not None
        after = skip(row, second, second, error="queue gpu is gone")
        row, skipped = record_skipped(row, after, second, second, FiringReason.REFUSED)
        await save_progress(tx, [row])
        await record_firings(tx, [(row.key, each) for each in started], first)
        await record_firings(tx, [(row.key, each) for each in skipped], second)
    return row


async def test_commands_show_schedules_next_instants_and_firings(
    program: Program, database: Database
) -> None:
    await save(database)

    listed = await program.run("trigger", "list")
    shown = await program.run("trigger", "show", *NIGHTLY)
    history = await program.run("trigger", "history", *NIGHTLY)
    skipped = await program.json("trigger", "history", *NIGHTLY, "--skipped")
    unknown = await program.run("trigger", "show", "env.main", "weekly", "-p", "p")
    fired = await program.run("trigger", "fire", *NIGHTLY)

    assert "30 1 * * * (Europe/London)" in listed.out
    assert "each 1h 30m" in listed.out
    next_instants = [f"2026-10-{day}T01:30:00+00:00" for day in range(27, 32)]
    assert shown.out.splitlines()[-5:] == next_instants
    first, second = history.out.splitlines()[1:]
    assert first.split()[3:5] == ["skipped", "refused"]
    assert first.endswith("queue gpu is gone")
    assert second.startswith("2026-10-25 00:30:00 UTC  started  on_time  0.0s")
    assert [each["number"] for each in skipped["firings"]] == ["2"]
    assert "trigger p/development/env.main/weekly not found" in unknown.err
    assert "runs are started by a control plane" in fired.err
