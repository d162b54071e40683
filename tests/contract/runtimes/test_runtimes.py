"""Guarantees of every runtime, checked on each of them."""

import asyncio

from dataplane.agent.core.active_attempts import StatusUpdate
from shared.model.phases import TERMINAL, Phase
from tests.contract.runtimes.conftest import Bench, Reported

TIMEOUT_SECONDS = 60


async def _until_running(last_reported: Reported) -> None:
    while (await last_reported.update.get()).phase is not Phase.RUNNING:
        pass


async def test_attempt_succeeds_with_its_output_uri(bench: Bench, last_reported: Reported) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        end = await bench.runtime.run(bench.short, last_reported, asyncio.Event())

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert end.output_uri == bench.short.assignment.output_prefix


async def test_status_updates_before_the_end_are_not_terminal(
    bench: Bench, last_reported: Reported
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await bench.runtime.run(bench.short, last_reported, asyncio.Event())

    update = [last_reported.update.get_nowait() for _ in range(last_reported.update.qsize())]
    assert not any(item.phase in TERMINAL for item in update)


async def test_stop_aborts_running_attempt(bench: Bench, last_reported: Reported) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(bench.runtime.run(bench.endless, last_reported, stop))
        await _until_running(last_reported)
        stop.set()

    assert run.result().phase is Phase.ABORTED


async def test_stop_before_run_aborts_attempt(bench: Bench, last_reported: Reported) -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        end = await bench.runtime.run(bench.endless, last_reported, stop)

    assert end.phase is Phase.ABORTED


async def test_cancelled_run_is_resumed_by_the_next_agent(
    bench: Bench, last_reported: Reported
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(bench.runtime.run(bench.endless, last_reported, asyncio.Event()))
        await _until_running(last_reported)
        first.cancel()
    assert first.cancelled()

    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        second = tasks.create_task(bench.another().run(bench.endless, last_reported, stop))
        await _until_running(last_reported)
        stop.set()
    assert second.result().phase is Phase.ABORTED


async def test_ended_attempt_run_again_has_the_same_result(
    bench: Bench, last_reported: Reported
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        first: StatusUpdate = await bench.runtime.run(bench.short, last_reported, asyncio.Event())
        again = await bench.another().run(bench.short, last_reported, asyncio.Event())

    assert again == first


async def test_log_follow_ends_with_the_attempt(bench: Bench, last_reported: Reported) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await bench.runtime.run(bench.short, last_reported, asyncio.Event())
        chunks = [chunk async for chunk in bench.runtime.follow(bench.short.assignment.attempt, 0)]

    assert chunks == [] or chunks[-1].lines[-1].text == "hello"
