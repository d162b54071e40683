"""Commands of usage: sums as a table, and a month as CSV or JSON lines."""

import csv
import json

from sqlalchemy import text

from controlplane.store.database import Database
from tests.factories import ORG
from tests.integration.cli.program import Program, program, service

__all__ = ["program", "service"]


async def test_month_of_usage_is_shown_and_exported(program: Program, database: Database) -> None:
    async with database.for_org(ORG) as tx:
        await tx.connection.execute(
            text(
                "INSERT INTO usage_days SELECT :org, date_trunc('month', now()), 'p', 'd',"
                " 't,' || n, 'c', '', 1, 1500, 750, 1536000, 0 FROM generate_series(1, 250) n"
            ),
            {"org": ORG},
        )
        month = str((await tx.connection.execute(text("SELECT now() AT TIME ZONE 'UTC'"))).scalar())
    shown = await program.run("usage", "show", "--by", "project")
    assert shown.out.splitlines()[-1].split()[:3] == ["(all)", "250", "375.0"]

    exported = await program.run("usage", "export", "--month", month[:7])
    rows = list(csv.DictReader(exported.out.splitlines()))
    assert len(rows) == 250  # more than a page
    assert {row["task"] for row in rows} == {f"t,{n}" for n in range(1, 251)}
    one = {name: rows[0][name] for name in ("attempts", "cpu_seconds", "memory_gib_seconds")}
    assert one == {"attempts": "1", "cpu_seconds": "0.75", "memory_gib_seconds": "1.5"}

    as_json = await program.run("usage", "export", "--month", month[:7], "--format", "json")
    assert json.loads(as_json.out.splitlines()[0])["action_seconds"] == 1.5
    refused = await program.run("usage", "export", "--month", "9999-01")
    assert refused.code == 1
    assert "9999-01 has not begun" in refused.err
