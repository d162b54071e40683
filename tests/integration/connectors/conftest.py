from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.connectors.world import Agent, Jobs, Server, agent_of, serving


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("connector")) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    shared_server.jobs.clear()
    return shared_server


@pytest.fixture
def jobs(server: Server) -> Jobs:
    return server.jobs


@pytest.fixture
async def agent(server: Server) -> AsyncIterator[Agent]:
    async with agent_of(server.endpoint) as agent:
        yield agent
