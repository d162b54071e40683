"""A job is created once, whichever process dies; and a connector may be unavailable."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from dataplane.agent.core.secrets import SecretsUnavailableError
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors.receipts import Receipts
from dataplane.agent.runtimes.protocol import Job
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.integration.connectors.names import TASK_TYPE
from tests.integration.connectors.world import (
    PACE,
    Agent,
    Jobs,
    Server,
    agent_of,
    make_connector_job,
    serving,
)
from tests.running import until

TIMEOUT_SECONDS = 90


async def test_next_agent_resumes_the_same_job(server: Server, jobs: Jobs, tmp_path: Path) -> None:
    jobs.all_do("RUNNING")
    job = make_connector_job(tmp_path)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with agent_of(server.endpoint) as first, asyncio.TaskGroup() as tasks:
            run = tasks.create_task(first.run(job))
            while (await first.last_reported.get()).phase is not Phase.RUNNING:
                pass
            run.cancel()
        jobs.does(jobs.created[0], "SUCCEEDED")
        async with agent_of(server.endpoint) as second:
            end = await second.run(job)
    assert end.phase is Phase.SUCCEEDED, end.failure
    assert len(jobs.created) == 1
    assert jobs.deleted == []


async def test_unconfirmed_job_creation_is_not_retried(
    server: Server, jobs: Jobs, tmp_path: Path
) -> None:
    job = make_connector_job(tmp_path)
    assert await Receipts(Stores(SystemClock())).begin(job)  # and that agent died

    pace = replace(PACE, creation_grace=timedelta(milliseconds=500))
    async with asyncio.timeout(TIMEOUT_SECONDS), agent_of(server.endpoint, pace=pace) as agent:
        end = await agent.run(job)
    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("ConnectorLost", FailureKind.SYSTEM)
    assert jobs.created == []


async def test_stop_aborts_while_job_creation_is_unconfirmed(
    agent: Agent, jobs: Jobs, tmp_path: Path
) -> None:
    job = make_connector_job(tmp_path)
    assert await Receipts(Stores(SystemClock())).begin(job)
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(agent.run(job, stop))
        assert (await agent.last_reported.get()).reason == "CreatingJob"
        stop.set()
    assert run.result().phase is Phase.ABORTED
    assert jobs.created == []


async def test_agent_shutdown_completes_job_creation(
    server: Server, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("SUCCEEDED")
    jobs.hold()
    job = make_connector_job(tmp_path)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with agent_of(server.endpoint) as first, asyncio.TaskGroup() as tasks:
            serving_until = tasks.create_task(first.endpoints.run())
            run = tasks.create_task(first.run(job))
            await until(lambda: jobs.has_arrived)
            run.cancel()
            serving_until.cancel()
            await until(run.done)
            jobs.release()
        async with agent_of(server.endpoint) as second:
            end = await second.run(job)
    assert end.phase is Phase.SUCCEEDED, end.failure
    assert len(jobs.created) == 1


async def test_two_agents_create_one_job_and_both_watch_it(
    server: Server, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("SUCCEEDED")
    job = make_connector_job(tmp_path)
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        agent_of(server.endpoint) as one,
        agent_of(server.endpoint) as other,
        asyncio.TaskGroup() as tasks,
    ):
        runs = [tasks.create_task(agent.run(job)) for agent in (one, other)]
    assert [run.result().phase for run in runs] == [Phase.SUCCEEDED, Phase.SUCCEEDED]
    assert len(jobs.created) == 1


async def test_a_job_outlives_its_connectors_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.jobs.all_do("RUNNING")
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            agent_of(server.endpoint) as agent,
            asyncio.TaskGroup() as tasks,
        ):
            run = tasks.create_task(agent.run(make_connector_job(tmp_path)))
            while (await agent.last_reported.get()).phase is not Phase.RUNNING:
                pass
            server.kill()
            await asyncio.to_thread(server.start)
            server.jobs.does(server.jobs.created[0], "SUCCEEDED")
        assert run.result().phase is Phase.SUCCEEDED, run.result().failure
        assert len(server.jobs.created) == 1


async def test_job_is_not_claimed_while_connector_is_unavailable(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        job = make_connector_job(tmp_path)
        async with asyncio.timeout(TIMEOUT_SECONDS), agent_of(server.endpoint) as agent:
            server.kill()
            async with asyncio.TaskGroup() as tasks:
                run = tasks.create_task(agent.run(job))
                assert (await agent.last_reported.get()).reason == "ConnectorAway"
                assert await _is_untouched(job)
                server.jobs.all_do("SUCCEEDED")
                await asyncio.to_thread(server.start)
            assert run.result().phase is Phase.SUCCEEDED, run.result().failure


async def _is_untouched(job: Job) -> bool:
    store = Stores(SystemClock()).of(job.assignment)
    return not await store.exists(f"{job.assignment.output_prefix}/connector.begun")


async def test_stop_aborts_while_connector_is_unavailable(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with asyncio.timeout(TIMEOUT_SECONDS), agent_of(server.endpoint) as agent:
            server.kill()
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                run = tasks.create_task(agent.run(make_connector_job(tmp_path), stop))
                assert (await agent.last_reported.get()).reason == "ConnectorAway"
                stop.set()
            assert run.result().phase is Phase.ABORTED


async def test_unavailable_connector_fails_attempt_as_system_error(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as server:
        server.jobs.all_do("RUNNING")
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            agent_of(
                server.endpoint, pace=replace(PACE, unavailable_timeout=timedelta(seconds=1))
            ) as agent,
            asyncio.TaskGroup() as tasks,
        ):
            run = tasks.create_task(agent.run(make_connector_job(tmp_path)))
            while (await agent.last_reported.get()).phase is not Phase.RUNNING:
                pass
            server.kill()
        end = run.result()
    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("ConnectorLost", FailureKind.SYSTEM)


async def test_attempt_waits_for_connector_that_has_not_answered_yet(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as server:
        server.jobs.all_do("SUCCEEDED")
        server.kill()
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            agent_of(server.endpoint, ask=False) as agent,
            asyncio.TaskGroup() as tasks,
        ):
            assert agent.endpoints.may_serve(TASK_TYPE)
            run = tasks.create_task(agent.run(make_connector_job(tmp_path)))
            assert (await agent.last_reported.get()).reason == "ConnectorAway"
            await asyncio.to_thread(server.start)
            await agent.endpoints.refresh()
        assert run.result().phase is Phase.SUCCEEDED, run.result().failure


async def test_unserved_task_type_fails_once_all_connectors_answered(agent: Agent) -> None:
    assert agent.endpoints.task_types == {TASK_TYPE}
    assert agent.endpoints.may_serve(TASK_TYPE)
    assert not agent.endpoints.may_serve("no-such-type")


async def test_task_types_of_unavailable_connector_are_kept(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with agent_of(server.endpoint) as agent:
            server.kill()
            await agent.endpoints.refresh()
            assert agent.endpoints.find(TASK_TYPE) is not None  # its jobs run on


class SecretsAway:
    """Says nothing for a while, as an API server that restarts."""

    def __init__(self, times: int) -> None:
        self._times = times

    async def find(self, job: Job, name: str) -> str | None:
        del job
        self._times -= 1
        if self._times >= 0:
            raise SecretsUnavailableError(f"the secret {name} cannot be read")
        return "hush-hush"


async def test_job_survives_temporarily_unreadable_secrets(
    server: Server, jobs: Jobs, tmp_path: Path
) -> None:
    """It runs: an attempt that failed of that would be tried again beside it."""
    jobs.all_do("RUNNING")
    job = make_connector_job(tmp_path, custom={"secrets": {"token": "service-token"}})
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with (
            agent_of(server.endpoint, secrets=SecretsAway(0)) as first,
            asyncio.TaskGroup() as tasks,
        ):
            run = tasks.create_task(first.run(job))
            while (await first.last_reported.get()).phase is not Phase.RUNNING:
                pass
            run.cancel()
        jobs.does(jobs.created[0], "SUCCEEDED")
        async with agent_of(server.endpoint, secrets=SecretsAway(3)) as second:
            end = await second.run(job)
    assert end.phase is Phase.SUCCEEDED, end.failure
    assert len(jobs.created) == 1


async def test_job_whose_secret_was_deleted_fails_as_system_error(
    server: Server, jobs: Jobs, tmp_path: Path
) -> None:
    jobs.all_do("RUNNING")
    job = make_connector_job(tmp_path, custom={"secrets": {"token": "service-token"}})
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with (
            agent_of(server.endpoint, secrets=SecretsAway(0)) as first,
            asyncio.TaskGroup() as tasks,
        ):
            run = tasks.create_task(first.run(job))
            while (await first.last_reported.get()).phase is not Phase.RUNNING:
                pass
            run.cancel()
        async with agent_of(server.endpoint) as second:
            end = await second.run(job)
    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("ConnectorLost", FailureKind.SYSTEM)
    assert "may run on" in end.failure.message
    assert "'service-token'" in end.failure.message
