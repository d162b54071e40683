"""Artifacts that a task's outputs declare: registered once, after the attempt has succeeded."""

import asyncio
from collections.abc import Sequence

from flyteidl2.artifact import artifact_service_pb2 as pb
from flyteidl2.artifact.artifact_pb2 import Artifact
from flyteidl2.core.artifact_id_pb2 import Granularity
from flyteidl2.task.common_pb2 import Outputs, ProducedArtifact
from flyteidl2.workflow.run_service_pb2 import GetActionDetailsRequest
from sqlalchemy import text

from controlplane.api.convert.produced_artifacts import MAX_PRODUCED, parse_produced
from controlplane.core.layout import outputs_uri
from controlplane.loops.artifact_registrations import PAGE, ArtifactRegistrationLoop
from controlplane.store.database import Database
from controlplane.usecases.artifact_registrations import REASON, ArtifactRegistrations
from shared.blobs.errors import BlobStoreError
from shared.blobs.store import BlobStore
from shared.kit.clock import SystemClock
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.flyte_requests import artifact_name
from tests.integration.api.requests import action_id, create_run, project_id, task_spec


def make_loop(api: ApiUnderTest, blobs: BlobStore | None = None) -> ArtifactRegistrationLoop:
    registrations = ArtifactRegistrations(
        api.database, blobs or api.blobs, SystemClock(), parse_produced
    )
    return ArtifactRegistrationLoop(registrations, SystemClock())


def outputs(*declared: ProducedArtifact) -> Outputs:
    message = Outputs(produced_artifacts=declared)
    for name in ("o0", "o1"):
        literal = message.literals.add(name=name)
        literal.value.scalar.blob.uri = f"s3://somewhere/{name}"
    return message


def produced(name: str = "model", *, output: str = "o0", version: str = "") -> ProducedArtifact:
    declared = ProducedArtifact(output=output, name=name, version=version)
    declared.type.blob.format = "bin"
    return declared


async def start(api: ApiUnderTest, run: str = "r1", *, retries: int = 0) -> Assignment:
    """Create a run whose task declares artifacts, and lease its attempt."""
    spec = task_spec(retries=retries)
    spec.task_template.metadata.produces_artifacts = True
    await api.runs.create_run(create_run(run, task_spec=spec))
    (leased,) = await api.claim()
    return leased


async def succeed(api: ApiUnderTest, leased: Assignment, message: Outputs | bytes | None) -> None:
    if message is not None:
        body = message if isinstance(message, bytes) else message.SerializeToString()
        await api.blobs.write(outputs_uri(leased.output_prefix), body)
    await api.report(leased, Phase.RUNNING, Phase.SUCCEEDED)


async def versions(api: ApiUnderTest, name: str = "model") -> Sequence[Artifact]:
    request = pb.ListArtifactsRequest(project_id=project_id(), name=name)
    return list((await api.artifacts.list_artifacts(request)).artifacts)


async def problems(api: ApiUnderTest, run: str = "r1") -> Sequence[str]:
    """Return the events that say what was not registered."""
    async with api.database.for_org(ORG) as tx:
        rows = await tx.rows(
            text(
                "SELECT e.events FROM action_events e JOIN actions a ON a.org = e.org"
                " AND a.id = e.action_id JOIN runs r ON r.org = a.org AND r.run_id = a.run_id"
                " WHERE e.org = :org AND r.run = :run"
            ),
            {"run": run},
        )
    return [each["message"] for row in rows for each in row.events if each["reason"] == REASON]


async def waiting(database: Database) -> int:
    async with database.for_org(ORG) as tx:
        rows = await tx.rows(
            text("SELECT count(*) AS n FROM artifact_registrations WHERE org = :org")
        )
    return int(rows[0].n)


async def make_due(api: ApiUnderTest) -> None:
    async with api.database.for_org(ORG) as tx:
        await tx.execute(
            text("UPDATE artifact_registrations SET due_at = created_at WHERE org = :org")
        )


async def test_declared_output_is_registered_with_its_attempt_as_source(api: ApiUnderTest) -> None:
    declared = produced()
    declared.info.user_metadata["flyte.io/kind"] = "model"
    declared.parent_artifacts.add(version="v0")
    declared.partitions.value["region"].static_value = "eu"
    declared.time_partition.granularity = Granularity.DAY
    declared.time_partition.value.time_value.seconds = 100_000
    leased = await start(api)
    await succeed(api, leased, outputs(declared, produced("events", output="o1", version="v7")))

    assert await make_loop(api).run_once() == 2

    (model,) = await versions(api)
    assert model.artifact_id.version == "r1-a0-0"
    source = model.spec.source.task_action
    assert (source.action.run.name, source.action.name, source.attempt) == ("r1", "a0", 0)
    assert model.spec.value.scalar.blob.uri == "s3://somewhere/o0"
    assert model.spec.value.artifact_id.version == "r1-a0-0"
    assert model.spec.parent_artifacts[0].key.name == "model"
    assert model.spec.time_partition.value.time_value.seconds == 86_400
    assert model.created_by.application.id.subject == f"attempt:{leased.attempt.action}"
    (events,) = await versions(api, "events")
    assert events.artifact_id.version == "v7"
    assert not await problems(api)


async def test_registration_waits_with_the_success_and_happens_once(api: ApiUnderTest) -> None:
    await succeed(api, await start(api), outputs(produced()))
    assert await waiting(api.database) == 1  # the control plane may stop here
    assert not await versions(api)

    found = await asyncio.gather(*(make_loop(api).run_once() for _ in range(3)))
    again = await make_loop(api).run_once()

    assert (sum(found), again) == (1, 0)
    assert len(await versions(api)) == 1
    assert await waiting(api.database) == 0


async def test_claim_of_a_stopped_replica_is_registered_by_another(api: ApiUnderTest) -> None:
    await succeed(api, await start(api), outputs(produced()))
    stopped = ArtifactRegistrations(api.database, api.blobs, SystemClock(), parse_produced)
    (claimed,) = await stopped.claim(most=10)
    assert not await stopped.claim(most=10)

    assert await make_loop(api).run_once() == 0  # not due again yet
    await make_due(api)
    assert await make_loop(api).run_once() == 1
    assert await stopped.register(claimed) == 0
    assert len(await versions(api)) == 1


async def test_retried_action_is_registered_by_its_second_attempt(api: ApiUnderTest) -> None:
    first = await start(api, retries=1)
    failure = Failure(code="X", kind=FailureKind.USER, message="no", recoverable=True)
    await api.report(first, Phase.RUNNING, Phase.FAILED, failure=failure)
    async with api.database.for_org(ORG) as tx:
        await tx.execute(text("UPDATE dispatches SET available_at = enqueued_at WHERE org = :org"))
    (second,) = await api.claim()
    await succeed(api, second, outputs(produced()))

    await make_loop(api).run_once()

    (model,) = await versions(api)
    assert model.spec.source.task_action.attempt == 1
    assert model.artifact_id.version == "r1-a0-1"


async def test_task_without_the_flag_registers_nothing(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    (leased,) = await api.claim()
    await succeed(api, leased, outputs(produced()))

    assert await waiting(api.database) == 0
    assert await make_loop(api).run_once() == 0


async def test_malformed_declarations_are_events_and_the_others_are_registered(
    api: ApiUnderTest,
) -> None:
    typeless = produced("typeless")
    typeless.ClearField("type")
    bound = produced("bound")
    bound.partitions.value["k"].runtime_binding.SetInParent()
    message = outputs(
        produced("a/b"),
        produced(output="o9"),
        produced(version="latest"),
        bound,
        typeless,
        produced(),
    )
    message.produced_artifacts.extend([produced()] * MAX_PRODUCED)
    leased = await start(api)
    await succeed(api, leased, message)

    assert await make_loop(api).run_once() == 1

    found = await problems(api)
    for words in (
        "'a/b' is not a name",
        "no such output",
        "choose another version",
        "static value",
        "type: is required",
        "6 outputs more than 100",
    ):
        assert any(words in each for each in found), words
    details = await api.runs.get_action_details(GetActionDetailsRequest(action_id=action_id()))
    assert details.details.status.phase == Phase.SUCCEEDED.value


async def test_outputs_that_are_missing_or_garbage_are_events(api: ApiUnderTest) -> None:
    for run, body, words in (
        ("missing", None, "outputs.pb is not there"),
        ("garbage", b"\xff\xff\xff", "is not a flyteidl2.task.Outputs"),
    ):
        await succeed(api, await start(api, run), body)
        assert await make_loop(api).run_once() == 0
        (found,) = await problems(api, run)
        assert words in found
    assert await waiting(api.database) == 0


async def test_version_that_exists_with_another_value_is_an_event(api: ApiUnderTest) -> None:
    await succeed(api, await start(api, "r1"), outputs(produced(version="v1")))
    await make_loop(api).run_once()
    other = outputs(produced(version="v1", output="o1"))
    await succeed(api, await start(api, "r2"), other)
    await succeed(api, await start(api, "r3"), outputs(produced(version="v1")))

    assert await make_loop(api).run_once() == 0

    (found,) = await problems(api, "r2")
    assert "exists with another value" in found
    assert not await problems(api, "r3")
    (kept,) = await versions(api)
    assert kept.spec.source.task_action.action.run.name == "r1"


async def test_store_that_does_not_answer_delays_the_registration(api: ApiUnderTest) -> None:
    class Silent(BlobStore):
        async def read(self, uri: str, *, limit: int) -> bytes:
            raise BlobStoreError(f"{uri} with {limit}: no answer")

    silent = object.__new__(Silent)
    silent.__dict__.update(api.blobs.__dict__)
    await succeed(api, await start(api), outputs(produced()))

    assert await make_loop(api, silent).run_once() == 0
    assert await waiting(api.database) == 1
    await make_due(api)
    assert await make_loop(api).run_once() == 1


async def test_more_attempts_than_a_page_are_registered_in_one_pass(api: ApiUnderTest) -> None:
    for number in range(PAGE + 3):
        await succeed(api, await start(api, f"r{number}"), outputs(produced()))

    assert await make_loop(api).run_once() == PAGE + 3
    assert (await versions(api))[0].artifact_id.version.startswith("r")


async def test_artifact_is_found_by_its_source(api: ApiUnderTest) -> None:
    await succeed(api, await start(api), outputs(produced()))
    await make_loop(api).run_once()
    request = pb.GetArtifactRequest(name=artifact_name())
    found = (await api.artifacts.get_artifact(request)).artifact
    assert found.spec.source.task_action.action.run.name == "r1"
