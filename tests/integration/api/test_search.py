"""Search finds what the caller may see by a part of its name, and reads a bounded number of rows."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text as sql

from controlplane.core.callers import EVERYTHING, Caller, Grant, Subject, org_wide
from controlplane.core.errors import InvalidError
from controlplane.store.resources import search as store
from controlplane.usecases.search import Found, Search
from shared.model.ids import DomainName, ProjectName
from tests.integration.api.client import CLUSTER, DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, deploy
from tests.integration.api.triggers import plain_trigger

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))
SCOPE = ProjectName(PROJECT), DomainName(DOMAIN)


@pytest.fixture
def search(api: ApiUnderTest) -> Search:
    return Search(api.database)


def names(found: Sequence[Found]) -> list[tuple[str, str]]:
    return [(each.kind.value, each.name) for each in found]


async def test_search_finds_each_kind_by_a_part_of_its_name(
    api: ApiUnderTest, search: Search
) -> None:
    for run in ("train-1", "retrain", "other"):
        await api.runs.create_run(create_run(run))
    await api.tasks.deploy_task(deploy())
    await api.triggers.deploy_trigger(plain_trigger())
    found = await search.find(CALLER, "TRAIN", scope=SCOPE, limit=10)
    assert names(found) == [("run", "train-1"), ("run", "retrain")]
    task = await search.find(CALLER, "a", scope=SCOPE, limit=50)
    kinds = {each.kind.value for each in task}
    assert {"run", "task", "cluster", "project"} <= kinds
    trigger = plain_trigger().name.name
    triggers = await search.find(CALLER, trigger, scope=SCOPE, limit=10)
    assert ("trigger", trigger) in names(triggers)
    assert names(await search.find(CALLER, CLUSTER, scope=None, limit=1)) == [("cluster", CLUSTER)]


async def test_search_leaves_out_what_the_caller_may_not_read(
    api: ApiUnderTest, search: Search
) -> None:
    await api.runs.create_run(create_run("train-1"))
    elsewhere = replace(CALLER, grants=(Grant(EVERYTHING, "another"),))
    for text in ("train", PROJECT, CLUSTER):
        assert list(await search.find(elsewhere, text, scope=SCOPE, limit=10)) == []


async def test_search_takes_text_literally(api: ApiUnderTest, search: Search) -> None:
    await api.runs.create_run(create_run("train-1"))
    for text in ("%", "_", "tr%", "\\"):
        assert list(await search.find(CALLER, text, scope=SCOPE, limit=10)) == []
    for text, limit in (("", 1), (" ", 1), ("x" * 201, 1), ("x", 0), ("x", 51)):
        with pytest.raises(InvalidError):
            await search.find(CALLER, text, scope=SCOPE, limit=limit)


async def test_search_examines_a_bounded_number_of_rows(api: ApiUnderTest, search: Search) -> None:
    """The whole name of an old run is found, a part of it only among the latest."""
    await api.runs.create_run(create_run("old"))
    async with api.database.for_org(ORG) as tx:
        await tx.execute(
            sql("""
                INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base,
                                  created_at, started_at)
                SELECT org, gen_random_uuid(), project, domain, 'new-' || n, 0, run_spec, run_base,
                       created_at + n * interval '1 second', started_at
                FROM runs, generate_series(1, 5000) n WHERE org = :org AND run = 'old'
            """),
            {},
        )
        plan = await tx.execute(
            sql(f"EXPLAIN (ANALYZE, FORMAT TEXT, TIMING OFF) {store._RUNS.text}"),
            {"project": PROJECT, "domain": DOMAIN, "text": "new", "most": 10},
        )
        lines = "\n".join(str(row[0]) for row in plan)
    examined = [int(rows) for rows in re.findall(r"actual rows=(\d+)", lines)]
    assert max(examined) <= store.MOST_EXAMINED, lines
    assert names(await search.find(CALLER, "old", scope=SCOPE, limit=5)) == [("run", "old")]
    assert names(await search.find(CALLER, "ol", scope=SCOPE, limit=5)) == []
    newest = await search.find(CALLER, "new", scope=SCOPE, limit=2)
    assert names(newest) == [("run", "new-5000"), ("run", "new-4999")]
