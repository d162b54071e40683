"""Purges of ended runs: what they delete, and what keeps a run from being purged."""

import asyncio
from datetime import timedelta
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.artifact.artifact_service_pb2 import DeleteArtifactRequest
from flyteidl2.common.run_pb2 import OffloadedInputData, RelationType
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, GetRunDetailsRequest
from sqlalchemy import text

from controlplane.core.errors import UnavailableError
from controlplane.loops.run_purges import EVERY, RunPurgeLoop
from controlplane.store.resources.run_purges import PurgingRun
from controlplane.usecases.run_purges import RunPurges
from shared.idl.platform.v1 import run_pb2 as pb
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from tests.fakes.clock import FakeClock
from tests.integration.api.caching import HIT, cached_run, child, details, run_everything
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.flyte_requests import artifact_id, create_artifact
from tests.integration.api.requests import action_id, create_run, enqueue, refusal, run_id
from tests.integration.api.test_recovery import end, run_child, start, with_outputs
from tests.integration.api.test_relations import related
from tests.integration.api.test_scopes import call

RECOVER = RelationType.RELATION_TYPE_RECOVER


def make_loop(api: ApiUnderTest, keep: timedelta | None = None) -> RunPurgeLoop:
    clock = SystemClock()
    return RunPurgeLoop(RunPurges(api.database, api.blobs, clock, keep=keep), clock)


async def purge(api: ApiUnderTest, run: str = "r1") -> pb.RunRetention:
    request = pb.PurgeRunRequest(project=PROJECT, domain=DOMAIN, run=run)
    found: pb.RunRetention = (await call(api, "platform.RunService/PurgeRun", request)).retention
    return found


async def holds(api: ApiUnderTest, run: str = "r1") -> list[tuple[str, str]]:
    request = pb.GetRunRetentionRequest(project=PROJECT, domain=DOMAIN, run=run)
    found = (await call(api, "platform.RunService/GetRunRetention", request)).retention
    assert all(hold.remedy for hold in found.holds)
    return sorted((hold.kind, hold.holder) for hold in found.holds)


async def rows(api: ApiUnderTest) -> dict[str, int]:
    counts = {}
    async with api.database.for_org(ORG) as tx:
        for table in ("runs", "actions", "attempts"):
            [row] = await tx.rows(text(f"SELECT count(*) AS n FROM {table}"))  # noqa: S608
            counts[table] = row.n
    return counts


async def run_to_end(api: ApiUnderTest, name: str, **fields: Any) -> None:
    """Run a root that writes its outputs."""
    await api.runs.create_run(create_run(name, **fields))
    await run_everything(api, only="roots")


async def objects(api: ApiUnderTest, run: str) -> list[str]:
    base = f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/{run}"
    return [blob.path for blob in await api.blobs.list_below(base, limit=100)]


async def test_purge_deletes_the_rows_and_objects_of_a_run_and_of_no_other(
    api: ApiUnderTest,
) -> None:
    root = await start(api, "r1")
    for name in ("c1", "c2"):
        await run_child(api, enqueue(api, name, spec=with_outputs()), Phase.SUCCEEDED)
    await end(api, root)
    await run_to_end(api, "r10")  # its name begins with the other's

    assert (await purge(api)).HasField("purging_since")
    assert await make_loop(api).run_once() == 1

    assert await rows(api) == {"runs": 1, "actions": 1, "attempts": 1}
    assert await objects(api, "r1") == []
    assert await objects(api, "r10") != []
    assert (await refusal(api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id("r1")))))[
        0
    ] is Code.NOT_FOUND
    await api.runs.create_run(create_run("r1"))  # the name is free again


async def test_purge_of_a_live_run_is_refused(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("r1"))
    code, message = await refusal(purge(api))
    assert code is Code.FAILED_PRECONDITION
    assert "has not ended (QUEUED)" in message
    assert (await refusal(purge(api, "none")))[0] is Code.NOT_FOUND


async def test_run_is_held_by_its_artifacts_until_they_are_deleted(api: ApiUnderTest) -> None:
    await run_to_end(api, "r1")
    request = create_artifact("model", "1", "s3://somewhere/1")
    request.spec.source.task_action.action.CopyFrom(action_id())
    await api.artifacts.create_artifact(request)

    assert await holds(api) == [("artifact", "model@1")]
    code, message = await refusal(purge(api))
    assert code is Code.FAILED_PRECONDITION
    assert "artifact model@1 (delete the version)" in message
    await api.artifacts.delete_artifact(
        DeleteArtifactRequest(artifact_id=artifact_id("model", "1"))
    )
    assert await holds(api) == []
    await purge(api)


async def test_run_is_held_by_its_cache_entry_and_by_the_runs_that_got_its_outputs(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(cached_run(api, "r1"))
    await run_everything(api, only="roots")
    await api.runs.create_run(cached_run(api, "r2"))
    assert (await details(api, run="r2")).status.cache_status == HIT

    found = dict(await holds(api))
    assert set(found) == {"cache_entry", "cached_result"}
    assert found["cached_result"] == f"{PROJECT}/{DOMAIN}/r2"
    async with api.database.for_org(ORG) as tx:
        await tx.execute(text("DELETE FROM cache_entries"))
    assert await holds(api) == [("cached_result", f"{PROJECT}/{DOMAIN}/r2")]

    await purge(api, "r2")
    await make_loop(api).run_once()
    await purge(api)
    assert await make_loop(api).run_once() == 1


async def test_run_is_not_held_by_hits_within_itself(api: ApiUnderTest) -> None:
    root = await start(api, "r1")
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    await api.actions.enqueue(child(api, "c2"))
    await end(api, root)
    assert [kind for kind, _ in await holds(api)] == ["cache_entry"]


async def test_run_is_held_by_the_run_that_recovers_it(api: ApiUnderTest) -> None:
    root = await start(api, "r1")
    await run_child(api, enqueue(api, "good", spec=with_outputs()), Phase.SUCCEEDED)
    await end(api, root)
    await end(api, await start(api, "r2", "r1"))
    await end(api, await start(api, "r3", "r2"))

    assert await holds(api) == [("recovery", f"{PROJECT}/{DOMAIN}/r2")]
    assert await holds(api, "r2") == [("recovery", f"{PROJECT}/{DOMAIN}/r3")]
    for run in ("r3", "r2", "r1"):
        await purge(api, run)
        await make_loop(api).run_once()
    assert (await rows(api))["runs"] == 0


async def test_run_is_held_by_a_run_whose_inputs_lie_in_its_data(api: ApiUnderTest) -> None:
    await run_to_end(api, "r1")
    rerun = related("r2", "r1", RelationType.RELATION_TYPE_RERUN)
    uri = f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/r1/a1/inputs.pb"
    await api.blobs.write(uri, b"")
    rerun.offloaded_input_data.CopyFrom(OffloadedInputData(uri=uri, inputs_hash="h"))
    await api.runs.create_run(rerun)

    assert await holds(api) == [("inputs", f"{PROJECT}/{DOMAIN}/r2")]


async def test_run_is_held_while_its_cluster_has_not_stopped_an_attempt(api: ApiUnderTest) -> None:
    await start(api, "r1")
    await api.runs.abort_run(AbortRunRequest(run_id=run_id("r1")))
    assert await holds(api) == [("attempt", "a0")]


async def test_run_is_held_until_its_outputs_are_registered(api: ApiUnderTest) -> None:
    await run_to_end(api, "r1")
    async with api.database.for_org(ORG) as tx:
        await tx.execute(
            text(
                "INSERT INTO artifact_registrations"
                " (org, action_id, attempt, output_uri, created_at, due_at)"
                " SELECT org, run_id, 1, 'file:///o', now(), now() FROM runs"
            )
        )
    assert await holds(api) == [("registration", "a0")]


async def test_recovery_of_a_run_that_is_being_purged_finds_no_such_run(api: ApiUnderTest) -> None:
    root = await start(api, "r1")
    await end(api, root)
    await purge(api)
    assert (await refusal(api.runs.create_run(related("r2", "r1", RECOVER))))[0] is Code.NOT_FOUND
    request = create_artifact("model", "1", "s3://somewhere/1")
    request.spec.source.task_action.action.CopyFrom(action_id())
    code, message = await refusal(api.artifacts.create_artifact(request))
    assert code is Code.INVALID_ARGUMENT
    assert "does not exist" in message


async def test_recovery_that_begins_with_a_purge_either_holds_the_run_or_is_refused(
    api: ApiUnderTest,
) -> None:
    for number in range(10):
        name = f"r{number}"
        await end(api, await start(api, name))
        answers = await asyncio.gather(
            api.runs.create_run(related(f"again{number}", name, RECOVER)),
            purge(api, name),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, ConnectError) for answer in answers) == 1
        await api.finish()


async def test_expired_runs_are_purged_unless_they_are_held(api: ApiUnderTest) -> None:
    for name in ("old", "held"):
        await end(api, await start(api, name))
    await start(api, "again", "held")

    for keep in (None, timedelta(days=1)):
        assert await make_loop(api, keep).run_once() == 0
    assert await make_loop(api, timedelta(0)).run_once() == 1
    assert (await rows(api))["runs"] == 2
    assert await holds(api, "held") == [("recovery", f"{PROJECT}/{DOMAIN}/again")]


async def test_purge_of_two_loops_at_once_deletes_a_run_once(api: ApiUnderTest) -> None:
    root = await start(api, "r1")
    for number in range(5):
        await api.actions.enqueue(enqueue(api, f"c{number}"))
    await end(api, root)
    await api.finish()
    await purge(api)
    await asyncio.gather(make_loop(api).run_once(), make_loop(api).run_once())
    assert await rows(api) == {"runs": 0, "actions": 0, "attempts": 0}
    assert await make_loop(api).run_once() == 0


class OneFails(RunPurges):
    """Cannot delete the objects of the run r1."""

    tried = 0

    async def purge(self, run: PurgingRun) -> int:
        if run.key.name == "r1":
            self.tried += 1
            raise UnavailableError("the object store does not answer")
        return await super().purge(run)


async def test_purge_that_fails_is_tried_less_and_less_often_and_delays_no_other(
    api: ApiUnderTest,
) -> None:
    for name in ("r1", "r2"):
        await end(api, await start(api, name))
        await purge(api, name)
    clock = FakeClock()
    purges = OneFails(api.database, api.blobs, clock, keep=None)
    loop = RunPurgeLoop(purges, clock)
    assert await loop.run_once() == 1
    assert (await rows(api))["runs"] == 1
    for _ in range(100):
        clock.advance(EVERY)
        assert await loop.run_once() == 0
    assert 2 <= purges.tried <= 8  # after about 5, 10, 20, 40, 80, 160 and 320 seconds
    assert await make_loop(api).run_once() == 1  # as after a restart


async def test_policy_says_for_how_long_data_is_kept(api: ApiUnderTest) -> None:
    answer = await call(
        api, "platform.RunService/GetRetentionPolicy", pb.GetRetentionPolicyRequest()
    )
    assert not answer.policy.HasField("runs")  # for ever
    assert answer.policy.unused_cache_entries.ToTimedelta() == timedelta(days=30)
    assert answer.policy.attempt_events.ToTimedelta() == timedelta(days=30)
