"""The contract of runtimes, held against Kubernetes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from tests.contract.runtimes.conftest import Bench, Reported
from tests.contract.runtimes.test_runtimes import (
    TIMEOUT_SECONDS,
    test_attempt_succeeds_with_its_output_uri,
    test_cancelled_run_is_resumed_by_the_next_agent,
    test_log_follow_ends_with_the_attempt,
    test_status_updates_before_the_end_are_not_terminal,
    test_stop_aborts_running_attempt,
    test_stop_before_run_aborts_attempt,
)
from tests.kube.node.runtime.conftest import Begin

__all__ = [
    "test_attempt_succeeds_with_its_output_uri",
    "test_cancelled_run_is_resumed_by_the_next_agent",
    "test_log_follow_ends_with_the_attempt",
    "test_status_updates_before_the_end_are_not_terminal",
    "test_stop_aborts_running_attempt",
    "test_stop_before_run_aborts_attempt",
]


@pytest.fixture
async def bench(begin: Begin) -> AsyncIterator[Bench]:
    async with begin() as agent:
        yield Bench(
            runtime=agent.runtime,
            another=lambda: KubernetesRuntime(agent.cluster, [PodPlugin()]),
            short=await agent.jobs.make("echo hello", number=1),
            endless=await agent.jobs.make("sleep 300", number=2),
        )


@pytest.fixture
def last_reported() -> Reported:
    return Reported()


async def test_ended_attempt_is_reported_again_but_for_events_and_links(
    bench: Bench, last_reported: Reported
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        first = await bench.runtime.run(bench.short, last_reported, asyncio.Event())
        again = await bench.another().run(bench.short, last_reported, asyncio.Event())

    assert _as_if_told(again) == _as_if_told(first)


def _as_if_told(update: StatusUpdate) -> StatusUpdate:
    return replace(update, events=(), log_links=())
