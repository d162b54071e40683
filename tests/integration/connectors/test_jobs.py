"""One attempt's life in the service behind a connector."""

import asyncio
import gzip
import json
from datetime import timedelta
from pathlib import Path

import pytest
from flyteidl2.core import execution_pb2
from flyteidl2.task import common_pb2

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.protocol import NoLogError
from dataplane.agent.runtimes.tasks import Variable
from shared.kit.clock import SystemClock
from shared.model.ids import ActionId, AttemptId
from shared.model.phases import Phase
from shared.model.reports import FailureKind, LogLink
from tests.integration.connectors.world import (
    Agent,
    Jobs,
    KnownSecrets,
    Server,
    agent_of,
    make_connector_job,
)
from tests.running import until

TIMEOUT_SECONDS = 60


def _failure_of(update: StatusUpdate) -> tuple[str, FailureKind, bool, str]:
    assert update.phase is Phase.FAILED
    assert update.failure is not None
    failure = update.failure
    return failure.code, failure.kind, failure.recoverable, failure.message


async def _told_until(agent: Agent, phase: Phase) -> list[StatusUpdate]:
    last_reported: list[StatusUpdate] = []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not last_reported or last_reported[-1].phase is not phase:
            last_reported.append(await agent.last_reported.get())
    return last_reported


async def test_job_is_created_watched_and_its_outputs_written(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    job = make_connector_job(tmp_path, has_container=True, outputs=(Variable("o0", False),))
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(agent.run(job))
        await _told_until(agent, Phase.WAITING_FOR_RESOURCES)
        (created,) = jobs.created
        links = {"Console": "https://jobs.example/1"}
        jobs.does(created, "RUNNING", message="step 1 of 2", links=links)
        (*_, running) = await _told_until(agent, Phase.RUNNING)
        jobs.does(created, "SUCCEEDED", outputs={"o0": 42})
    end = run.result()

    assert end.phase is Phase.SUCCEEDED, end.failure
    prefix = job.assignment.output_prefix
    assert end.output_uri == prefix
    outputs = common_pb2.Outputs.FromString(_read(f"{prefix}/outputs.pb"))
    assert [(each.name, each.value.scalar.primitive.integer) for each in outputs.literals] == [
        ("o0", 42)
    ]
    assert jobs.asked(created) == {
        "args": ["a0", "--outputs-path", prefix],
        "inputs": {"n": 7},
        "output_prefix": prefix,
        "secrets": {},
        "run": "r1",
        "retry": 0,
    }
    assert (running.reason, running.message) == ("ConnectorRunning", "step 1 of 2")
    assert list(running.log_links) == [LogLink("Console", "https://jobs.example/1")]
    lines = [json.loads(line)["m"] for line in gzip.decompress(_read(end.log_uri)).splitlines()]
    assert lines == ["Console: https://jobs.example/1", "step 1 of 2"]


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("FAILED", ("ConnectorJobFailed", FailureKind.USER, False, "because")),
        ("RETRYABLE_FAILED", ("ConnectorJobFailed", FailureKind.USER, True, "because")),
        ("ABORTED", ("AbortedOutside", FailureKind.SYSTEM, True, "because")),
    ],
)
async def test_failed_job_reports_reason_and_recoverability(
    agent: Agent,
    jobs: Jobs,
    tmp_path: Path,
    phase: str,
    expected: tuple[str, FailureKind, bool, str],
) -> None:
    jobs.all_do(phase, message="because")
    end = await agent.run(make_connector_job(tmp_path))
    assert _failure_of(end) == expected


async def test_missing_declared_outputs_fail_the_attempt(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("SUCCEEDED")
    end = await agent.run(make_connector_job(tmp_path, outputs=(Variable("o0", False),)))
    assert _failure_of(end)[:2] == ("OutputsMissing", FailureKind.USER)


async def test_a_task_without_outputs_has_an_empty_outputs_file(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("SUCCEEDED")
    end = await agent.run(make_connector_job(tmp_path))
    assert end.phase is Phase.SUCCEEDED
    assert _read(f"{end.output_uri}/outputs.pb") == b""


async def test_error_written_by_the_entry_point_fails_the_attempt(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    job = make_connector_job(tmp_path, has_container=True)
    document = execution_pb2.ErrorDocument(
        error=execution_pb2.ContainerError(code="ValueError", message="no such table")
    )
    store = Stores(SystemClock()).of(job.assignment)
    uri = f"{job.assignment.output_prefix}/error.pb"
    await store.write(uri, document.SerializeToString())
    jobs.all_do("SUCCEEDED")

    end = await agent.run(job)
    assert _failure_of(end)[0] == "ValueError"


async def test_stop_deletes_job_and_waits_for_its_end(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("RUNNING")
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(agent.run(make_connector_job(tmp_path), stop))
        await _told_until(agent, Phase.RUNNING)
        stop.set()
    assert run.result().phase is Phase.ABORTED
    assert jobs.deleted == jobs.created


async def test_job_ended_before_stop_keeps_its_result(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("SUCCEEDED")
    job = make_connector_job(tmp_path)
    await agent.run(job)
    stop = asyncio.Event()
    stop.set()
    again = await agent.run(job, stop)
    assert again.phase is Phase.SUCCEEDED
    assert jobs.deleted == []


async def test_job_that_succeeds_while_it_is_deleted_has_succeeded(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("RUNNING", when_deleted="SUCCEEDED")
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(agent.run(make_connector_job(tmp_path), stop))
        await _told_until(agent, Phase.RUNNING)
        stop.set()
    assert run.result().phase is Phase.SUCCEEDED
    assert jobs.deleted == jobs.created


async def test_job_over_max_runtime_is_deleted(agent: Agent, jobs: Jobs, tmp_path: Path) -> None:
    jobs.all_do("RUNNING")
    job = make_connector_job(tmp_path, max_runtime=timedelta(milliseconds=300))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        end = await agent.run(job)
    assert end.phase is Phase.TIMED_OUT
    assert end.failure is not None
    assert end.failure.code == "MAX_RUNTIME_EXCEEDED"
    assert jobs.deleted == jobs.created


async def test_secrets_are_read_for_every_call_and_never_stored(
    server: Server, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("SUCCEEDED")
    custom = {"secrets": {"token": "service-token", "left_out": None}}
    job = make_connector_job(tmp_path, custom=custom)
    secrets = KnownSecrets({"service-token": "hush-hush"})
    async with agent_of(server.endpoint, secrets=secrets) as agent:
        end = await agent.run(job)
    assert end.phase is Phase.SUCCEEDED, end.failure
    (created,) = jobs.created
    assert jobs.asked(created)["secrets"] == {"token": "hush-hush"}
    assert not any(b"hush-hush" in body for body in _all_below(tmp_path))


async def test_missing_secret_is_named(agent: Agent, jobs: Jobs, tmp_path: Path) -> None:
    job = make_connector_job(tmp_path, custom={"secrets": {"token": "service-token"}})
    code, kind, _, message = _failure_of(await agent.run(job))
    assert (code, kind) == ("BadSpec", FailureKind.USER)
    assert "'service-token' as its token" in message
    assert jobs.created == []


async def test_refused_creation_is_a_user_failure(agent: Agent, jobs: Jobs, tmp_path: Path) -> None:
    jobs.refuse("the warehouse does not exist")
    code, kind, _, message = _failure_of(await agent.run(make_connector_job(tmp_path)))
    assert (code, kind) == ("ConnectorRefused", FailureKind.USER)
    assert "the warehouse does not exist" in message


async def test_log_is_followed_during_and_after_the_job(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("RUNNING", message="scanning")
    job = make_connector_job(tmp_path)
    attempt = job.assignment.attempt

    async def follow() -> list[str]:
        await until(lambda: bool(jobs.created))
        return [
            line.text async for chunk in agent.runtime.follow(attempt, 0) for line in chunk.lines
        ]

    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(agent.run(job))
        following = tasks.create_task(follow())
        await _told_until(agent, Phase.RUNNING)
        jobs.does(jobs.created[0], "SUCCEEDED", message="done")
    assert following.result() == ["scanning", "done"]
    assert [
        line.text async for each in agent.runtime.follow(attempt, 1) for line in each.lines
    ] == ["done"]
    with pytest.raises(NoLogError):
        await anext(agent.runtime.follow(AttemptId(ActionId(attempt.action), 99), 0))


def _read(uri: str) -> bytes:
    return Path(uri.removeprefix("file://")).read_bytes()


def _all_below(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in root.rglob("*") if path.is_file()]
