"""The runtime of connectors keeps what every runtime promises."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors.runtime import ConnectorRuntime
from shared.kit.clock import SystemClock
from tests.contract.runtimes.conftest import Bench, Reported
from tests.contract.runtimes.test_runtimes import (  # noqa: F401 - they are run with this bench
    test_attempt_succeeds_with_its_output_uri,
    test_cancelled_run_is_resumed_by_the_next_agent,
    test_ended_attempt_run_again_has_the_same_result,
    test_log_follow_ends_with_the_attempt,
    test_status_updates_before_the_end_are_not_terminal,
    test_stop_aborts_running_attempt,
    test_stop_before_run_aborts_attempt,
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
def last_reported() -> Reported:
    return Reported()
