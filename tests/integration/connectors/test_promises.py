"""The runtime of connectors keeps what every runtime promises."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors.runtime import ConnectorRuntime
from shared.kit.clock import SystemClock
from tests.contract.runtimes.conftest import Bench, Told
from tests.contract.runtimes.test_runtimes import (  # noqa: F401 - they are run with this bench
    test_a_stop_ends_it_as_aborted,
    test_a_stop_that_came_first_is_not_forgotten,
    test_an_attempt_runs_to_its_end_and_says_where_its_outputs_are,
    test_an_attempt_that_is_over_ends_the_same_when_run_again,
    test_an_attempt_that_was_let_go_of_can_be_gone_on_with,
    test_nothing_told_on_the_way_is_an_end,
    test_the_log_of_an_attempt_comes_to_an_end,
)
from tests.integration.connectors.world import PACE, Server, agent_of, make_connector_job


@pytest.fixture
async def bench(server: Server, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(agent_of(server.endpoint))

        def make() -> ConnectorRuntime:
            return ConnectorRuntime(agent.endpoints, Stores(clock), clock, pace=PACE)

        short = {"does": {"phase": "SUCCEEDED", "message": "hello"}}
        endless = {"does": {"phase": "RUNNING"}}
        yield Bench(
            runtime=make(),
            another=make,
            short=make_connector_job(tmp_path, number=1, custom=short),
            endless=make_connector_job(tmp_path, number=2, custom=endless),
        )


@pytest.fixture
def last_reported() -> Told:
    return Told()
