"""Cached results of child actions: hits, misses, what an entry depends on, and where it counts."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.actions.actions_service_pb2 import WatchForUpdatesRequest
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest
from flyteidl2.project.project_service_pb2 import CreateProjectRequest, Project
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, GetRunDetailsRequest
from sqlalchemy import text

from controlplane.loops.unused_cache_entries import UnusedCacheEntries
from shared.blobs.errors import BlobStoreError
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.integration.api.caching import (
    DISABLED,
    HIT,
    MISS,
    POPULATED,
    PROJECT_ONLY,
    QUEUED,
    SKIPPED,
    SUCCEEDED,
    cached_run,
    cached_spec,
    child,
    details,
    run_everything,
    run_in,
)
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest, open_api
from tests.integration.api.requests import action_id, create_run, refusal, run_id
from tests.integration.store.examined import counting_statements


async def start(api: ApiUnderTest, *names: str, project: str = PROJECT, **settings: Any) -> None:
    for name in names or ("r1",):
        await api.runs.create_run(run_in(project, name, **settings))
    await run_everything(api)


async def delete_inputs(api: ApiUnderTest) -> None:
    async with api.database.for_org(ORG) as tx:
        [row] = await tx.rows(text("SELECT DISTINCT input_uri FROM actions"))
    await api.blobs.delete(row.input_uri)


async def age_entries(api: ApiUnderTest, by: timedelta) -> None:
    async with api.database.for_org(ORG) as tx:
        await tx.execute(
            text("UPDATE cache_entries SET created_at = created_at - CAST(:by AS interval)"),
            {"by": by},
        )


async def test_equal_action_gets_the_outputs_of_the_first_without_an_attempt(
    api: ApiUnderTest,
) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    assert (await details(api, "c1")).status.cache_status == MISS
    assert await run_everything(api) == ["r1/c1"]
    await api.actions.enqueue(child(api, "c2"))

    first, second = await details(api, "c1"), await details(api, "c2")
    assert first.status.cache_status == first.attempts[0].cache_status == POPULATED
    assert (second.status.phase, second.status.cache_status) == (SUCCEEDED, HIT)
    assert await run_everything(api) == []
    [attempt] = second.attempts
    assert attempt.outputs.output_uri == first.attempts[0].outputs.output_uri
    assert (attempt.cache_status, attempt.cluster) == (HIT, "")
    source = attempt.cache_metadata.source_action_attempt
    assert (source.action_id, source.attempt) == (first.id, 1)
    inputs = f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/r1/c2/inputs.pb"
    await api.blobs.write(inputs, b"")
    data = await api.data.get_action_data(GetActionDataRequest(action_id=action_id("c2")))
    assert data.outputs_uri == first.attempts[0].outputs.output_uri


async def test_parent_receives_the_hit_with_the_prefix_of_its_outputs(api: ApiUnderTest) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    await api.actions.enqueue(child(api, "c2"))

    updates = {}
    request = WatchForUpdatesRequest(parent_action_id=action_id())
    async for answer in api.actions.watch_for_updates(request):
        if answer.WhichOneof("message") == "control_message":
            break
        updates[answer.action_update.action_id.name] = answer.action_update
    assert updates["c2"].phase == SUCCEEDED
    assert updates["c2"].output_uri == updates["c1"].output_uri
    assert updates["c2"].output_uri.endswith("/r1/c1/1")


async def test_other_key_is_a_miss_and_an_uncached_task_ignores_its_key(api: ApiUnderTest) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    await api.actions.enqueue(child(api, "c2", key="k2"))
    uncached = child(api, "c3")
    uncached.action.task.spec.task_template.metadata.discoverable = False
    await api.actions.enqueue(uncached)
    await api.actions.enqueue(child(api, "c4", key=""))

    assert (await details(api, "c2")).status.cache_status == MISS
    for name in ("c3", "c4"):
        status = (await details(api, name)).status
        assert (status.phase, status.cache_status) == (QUEUED, DISABLED)


async def test_repeated_enqueue_of_a_hit_changes_nothing(api: ApiUnderTest) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    for _ in range(2):
        await api.actions.enqueue(child(api, "c2"))
    assert (await details(api, "c2")).status.cache_status == HIT


async def test_failed_action_stores_nothing_and_a_retry_stores_its_own_attempt(
    api: ApiUnderTest,
) -> None:
    broken = Failure(code="Broken", kind=FailureKind.USER, message="it broke", recoverable=True)
    spec = cached_spec(retries=1)
    await start(api)
    await api.actions.enqueue(child(api, "c1", spec=cached_spec()))
    await api.finish(Phase.FAILED, broken)
    await api.actions.enqueue(child(api, "c2", spec=spec))
    assert (await details(api, "c2")).status.cache_status == MISS
    await api.finish(Phase.FAILED, broken)
    assert await run_everything(api) == ["r1/c2"]
    await api.actions.enqueue(child(api, "c3", spec=spec))

    assert [each.cache_status for each in (await details(api, "c2")).attempts] == [MISS, POPULATED]
    [attempt] = (await details(api, "c3")).attempts
    assert attempt.cache_metadata.source_action_attempt.attempt == 2


async def test_of_equal_actions_at_once_the_first_stores(api: ApiUnderTest) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await api.actions.enqueue(child(api, "c2"))
    await run_everything(api)
    found = [(await details(api, name)).status.cache_status for name in ("c1", "c2")]
    assert sorted(found) == [MISS, POPULATED]


async def test_overwriting_run_looks_nothing_up_and_replaces_the_entry(api: ApiUnderTest) -> None:
    await start(api, "r1")
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    await start(api, "r2", overwrite_cache=True)
    await api.actions.enqueue(child(api, "c1", run="r2"))
    assert (await details(api, "c1", run="r2")).status.cache_status == SKIPPED
    await run_everything(api)
    await api.actions.enqueue(child(api, "c2"))

    assert (await details(api, "c1", run="r2")).status.cache_status == POPULATED
    [attempt] = (await details(api, "c2")).attempts
    assert attempt.cache_metadata.source_action_attempt.action_id.run.name == "r2"


@pytest.mark.parametrize(
    ("max_age", "expected"),
    [(timedelta(hours=1), MISS), (timedelta(hours=2), HIT), (timedelta(0), HIT), (None, HIT)],
)
async def test_entry_older_than_the_maximum_age_is_a_miss_and_is_replaced(
    api: ApiUnderTest, max_age: timedelta | None, expected: int
) -> None:
    spec = cached_spec(max_age=max_age)
    await start(api)
    await api.actions.enqueue(child(api, "c1", spec=spec))
    await run_everything(api)
    await age_entries(api, timedelta(minutes=61))
    await api.actions.enqueue(child(api, "c2", spec=spec))
    assert (await details(api, "c2")).status.cache_status == expected
    if expected == MISS:
        await run_everything(api)
        assert (await details(api, "c2")).status.cache_status == POPULATED


async def test_outputs_deleted_from_the_bucket_are_a_miss_and_the_entry_is_replaced(
    api: ApiUnderTest,
) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    uri = (await details(api, "c1")).attempts[0].outputs.output_uri
    await api.blobs.delete(uri)
    await api.actions.enqueue(child(api, "c2"))
    assert (await details(api, "c2")).status.cache_status == MISS
    assert await run_everything(api) == ["r1/c2"]
    await api.actions.enqueue(child(api, "c3"))
    [attempt] = (await details(api, "c3")).attempts
    assert attempt.cache_metadata.source_action_attempt.action_id.name == "c2"


async def test_task_without_outputs_is_cached_although_it_writes_no_file(api: ApiUnderTest) -> None:
    spec = cached_spec()
    del spec.task_template.interface.outputs.variables[:]
    await start(api)
    await api.actions.enqueue(child(api, "c1", spec=spec))
    await api.finish()
    await api.actions.enqueue(child(api, "c2", spec=spec))
    assert (await details(api, "c2")).status.cache_status == HIT


async def test_entry_of_another_project_counts_in_the_global_scope_only(api: ApiUnderTest) -> None:
    await api.projects.create_project(CreateProjectRequest(project=Project(id="other", name="o")))
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    await start(api, "r2", project="other")
    await start(api, "r3", project="other", cache_lookup_scope=PROJECT_ONLY)
    for run in ("r2", "r3"):
        await api.actions.enqueue(child(api, "c1", run=run, project="other"))

    everywhere = await details(api, "c1", run="r2", project="other")
    assert everywhere.status.cache_status == HIT
    source = everywhere.attempts[0].cache_metadata.source_action_attempt.action_id
    assert source.run.project == PROJECT
    assert (await details(api, "c1", run="r3", project="other")).status.cache_status == MISS


async def test_project_and_domain_that_join_to_the_same_text_share_no_entry(
    api: ApiUnderTest,
) -> None:
    for project in ("a", "a-development"):
        await api.projects.create_project(
            CreateProjectRequest(project=Project(id=project, name=project))
        )
    await start(api, "r1", project="a-development")
    await api.actions.enqueue(child(api, "c1", project="a-development"))
    await run_everything(api)
    await start(api, "r2", project="a", cache_lookup_scope=PROJECT_ONLY)
    await api.actions.enqueue(child(api, "c1", run="r2", project="a"))
    assert (await details(api, "c1", run="r2", project="a")).status.cache_status == MISS


async def test_second_run_of_a_cached_root_has_succeeded_when_it_is_created(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(cached_run(api, "r1"))
    assert await run_everything(api, only="roots") == ["r1/a0"]
    created = (await api.runs.create_run(cached_run(api, "r2"))).run.action
    await api.runs.create_run(cached_run(api, "r2"))  # repeated by the SDK
    await api.runs.create_run(cached_run(api, "r3", inputs_hash="other"))

    assert (created.status.phase, created.status.cache_status) == (SUCCEEDED, HIT)
    run = (await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id("r2")))).details
    source = run.action.attempts[0].cache_metadata.source_action_attempt
    assert source.action_id.run.name == "r1"
    assert await run_everything(api, only="roots") == ["r3/a0"]


async def test_hit_of_a_root_takes_no_more_statements_than_a_root_that_runs(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(cached_run(api, "r1"))
    await run_everything(api, only="roots")
    with counting_statements(api.database) as of_hit:
        await api.runs.create_run(cached_run(api, "r2"))
    with counting_statements(api.database) as of_run:
        await api.runs.create_run(create_run("r3"))
    assert len(of_hit) <= len(of_run)


async def test_hit_of_a_root_has_its_inputs_or_there_is_no_run(
    api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = Inputs()
    inputs.literals.add(name="x").value.scalar.primitive.integer = 7

    def request(name: str) -> CreateRunRequest:
        return create_run(name, task_spec=cached_spec("env.main"), inputs=inputs)

    await api.runs.create_run(request("r1"))
    assert await run_everything(api, only="roots") == ["r1/a0"]
    await api.runs.create_run(request("r2"))
    assert (await details(api, run="r2")).status.cache_status == HIT
    action = (await details(api, run="r2")).id
    data = await api.data.get_action_data(GetActionDataRequest(action_id=action))
    assert data.inputs == inputs

    async def fail(*_: object) -> None:
        raise BlobStoreError("the bucket is away")

    await delete_inputs(api)
    monkeypatch.setattr(api.blobs, "write", fail)
    refused, message = await refusal(api.runs.create_run(request("r3")))
    assert refused is Code.UNAVAILABLE
    assert "the bucket is away" in message
    absent, _ = await refusal(api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id("r3"))))
    assert absent is Code.NOT_FOUND


async def test_overwriting_run_runs_its_cached_root_again(api: ApiUnderTest) -> None:
    await api.runs.create_run(cached_run(api, "r1"))
    await run_everything(api, only="roots")
    await api.runs.create_run(cached_run(api, "r2", overwrite_cache=True))
    assert (await details(api, run="r2")).status.cache_status == SKIPPED
    assert await run_everything(api, only="roots") == ["r2/a0"]
    assert (await details(api, run="r2")).status.cache_status == POPULATED


async def test_entry_without_hits_is_deleted_after_the_retention_and_a_used_one_stays(
    api: ApiUnderTest,
) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1", key="used"))
    await api.actions.enqueue(child(api, "c2", key="unused"))
    await run_everything(api)
    async with api.database.for_org(ORG) as tx:
        await tx.execute(
            text("UPDATE cache_entries SET hit_at = hit_at - CAST(:by AS interval)"),
            {"by": timedelta(days=31)},
        )
    await api.actions.enqueue(child(api, "c3", key="used"))
    month, hour = timedelta(days=30), timedelta(hours=1)
    loop = UnusedCacheEntries(api.database, SystemClock(), keep=month, every=hour)

    assert await loop.run_once() == 1
    await api.actions.enqueue(child(api, "c4", key="used"))
    await api.actions.enqueue(child(api, "c5", key="unused"))
    assert (await details(api, "c4")).status.cache_status == HIT
    assert (await details(api, "c5")).status.cache_status == MISS


async def test_maximum_age_of_the_installation_holds_for_tasks_without_one(
    database_url: str, tmp_path: Path
) -> None:
    ages = {"unset": None, "any": timedelta(0), "longer": timedelta(hours=2)}
    async with open_api(database_url, tmp_path / "blobs", cache_max_age=timedelta(hours=1)) as api:
        await start(api, "r1")
        await api.actions.enqueue(child(api, "c1"))
        await api.runs.create_run(cached_run(api, "r2"))
        await run_everything(api)
        await age_entries(api, timedelta(minutes=61))
        for name, age in ages.items():
            await api.actions.enqueue(child(api, name, spec=cached_spec(max_age=age)))
        await api.runs.create_run(cached_run(api, "r3"))

        found = {name: (await details(api, name)).status.cache_status for name in ages}
        root = (await details(api, run="r3")).status.cache_status

    assert found == {"unset": MISS, "any": HIT, "longer": HIT}
    assert root == MISS


async def test_success_and_entry_are_stored_together_or_neither_is(
    api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    [assignment] = await api.claim()

    async def stop(*_: Any) -> None:
        raise asyncio.CancelledError  # as when the process stops after the report's statements

    with monkeypatch.context() as patch:
        patch.setattr("controlplane.store.dispatch.outcomes.store_entries", stop)
        with pytest.raises(asyncio.CancelledError):
            await api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED)
    before = await details(api, "c1")
    await api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED)

    assert before.status.phase != SUCCEEDED
    assert (await details(api, "c1")).status.cache_status == POPULATED
