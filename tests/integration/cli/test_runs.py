"""Commands of runs and lineage: what holds a run, its purge, and which versions runs took."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from controlplane.core.runs import NewRun
from controlplane.store.database import Database
from shared.model.ids import ROOT, ActionKey, DomainName, ProjectName, RunKey, RunName
from tests.factories import ORG, make_new_run
from tests.integration.api.client import DOMAIN, PROJECT
from tests.integration.cli.program import Program, program, service
from tests.integration.store.conftest import Store

__all__ = ["program", "service"]

_TAKEN = text("""
INSERT INTO artifact_uses (org, project, domain, name, version, run_id)
VALUES (:org, :project, :domain, 'model', '1', :run_id)
""")


@pytest.fixture
def store(database: Database, database_url: str) -> Store:
    return Store(database, database_url)


def new_run(name: str) -> NewRun:
    key = RunKey(ProjectName(PROJECT), DomainName(DOMAIN), RunName(name))
    return replace(make_new_run(name), key=ActionKey(key, ROOT))


async def test_ended_run_is_purged_by_a_command_that_a_live_one_refuses(
    program: Program, store: Store
) -> None:
    ended = await store.create(new_run("r1"))
    await store.abort(ended)
    await store.create(new_run("r2"))

    shown = await program.run("run", "retention", "r1")
    unasked = await program.run("run", "purge", "r1")
    purged = await program.run("run", "purge", "r1", "--yes")
    retention = (await program.json("run", "retention", "r1"))["retention"]
    live = await program.run("run", "purge", "r2", "--yes")
    unknown = await program.run("run", "retention", "r3")

    assert "EXPIRES              never" in shown.out
    assert "Give --yes" in unasked.err
    assert purged.out == "Run r1 is being deleted.\n"
    assert retention["purgingSince"]
    assert "run flytesnacks/development/r2 has not ended (QUEUED)" in live.err
    assert "run flytesnacks/development/r3 not found" in unknown.err


async def test_runs_are_archived_and_held_by_commands(program: Program, store: Store) -> None:
    for name in ("r1", "r2"):
        await store.abort(await store.create(new_run(name)))

    archived = await program.run("run", "archive", "r1", "r2")
    again = await program.json("run", "archive", "r1")
    active = await program.run("run", "unarchive", "r2")
    unknown = await program.run("run", "archive", "r1", "r3")
    held = await program.run("run", "hold", "r1", "--reason", "case 12")
    shown = await program.run("run", "retention", "r1")
    purged = await program.run("run", "purge", "r1", "--yes")
    released = await program.run("run", "release", "r1")

    assert archived.out == "2 of 2 runs are archived now.\n"
    assert again == {}
    assert active.out == "1 of 1 runs are active again.\n"
    assert "r3 not found" in unknown.err
    assert held.out == "Run r1 is held.\n"
    assert "case 12" in shown.out
    assert "case 12 (release the run)" in purged.err
    assert released.out == "Run r1 is released.\n"


async def test_lineage_of_a_version_and_of_a_run_are_shown_by_commands(
    program: Program, store: Store
) -> None:
    run = await store.create(new_run("r1"))
    values = {"project": PROJECT, "domain": DOMAIN, "run_id": run}
    async with store.database.for_org(ORG) as tx:
        await tx.execute(_TAKEN, values)

    consumers = await program.run("artifact", "lineage", "model", "1")
    as_json = await program.json("artifact", "lineage", "model", "1")
    of_run = await program.run("run", "artifacts", "r1")
    nothing = await program.run("artifact", "lineage", "model", "2")
    refused = await program.run("artifact", "lineage", "a/b", "1")

    assert consumers.out.splitlines()[1].split()[:4] == ["r1", PROJECT, DOMAIN, "env.parent"]
    assert [each["run"] for each in as_json["consumers"]] == ["r1"]
    assert "taken  flytesnacks/development/model@1" in of_run.out
    assert len(nothing.out.splitlines()) == 1
    assert "artifact.name" in refused.err
