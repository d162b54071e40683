"""The contract of runtimes, held against Kubernetes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from tests.contract.runtimes.conftest import Bench, Told
from tests.contract.runtimes.test_runtimes import (
    TIMEOUT_SECONDS,
    test_a_stop_ends_it_as_aborted,
    test_a_stop_that_came_first_is_not_forgotten,
    test_an_attempt_runs_to_its_end_and_says_where_its_outputs_are,
    test_an_attempt_that_was_let_go_of_can_be_gone_on_with,
    test_nothing_told_on_the_way_is_an_end,
    test_the_log_of_an_attempt_comes_to_an_end,
)
from tests.kube.node.runtime.conftest import Begin

__all__ = [
    "test_a_stop_ends_it_as_aborted",
    "test_a_stop_that_came_first_is_not_forgotten",
    "test_an_attempt_runs_to_its_end_and_says_where_its_outputs_are",
    "test_an_attempt_that_was_let_go_of_can_be_gone_on_with",
    "test_nothing_told_on_the_way_is_an_end",
    "test_the_log_of_an_attempt_comes_to_an_end",
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
def last_reported() -> Told:
    return Told()


async def test_an_attempt_that_is_over_ends_the_same_but_for_what_was_told_before(
    bench: Bench, last_reported: Told
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        first = await bench.runtime.run(bench.short, last_reported, asyncio.Event())
        again = await bench.another().run(bench.short, last_reported, asyncio.Event())

    assert _as_if_told(again) == _as_if_told(first)


def _as_if_told(update: StatusUpdate) -> StatusUpdate:
    return replace(update, events=(), log_links=())
