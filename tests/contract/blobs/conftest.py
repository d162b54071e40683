"""Every test here runs on a directory, on S3, on Google's interface and on Azurite."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from controlplane.api.dataproxy import DataProxyService
from controlplane.core.errors import UnavailableError
from controlplane.core.projects import Project
from controlplane.core.signing import SigningKey, SigningKeys
from controlplane.feeds.feeds import Feeds
from controlplane.store.database import open_database
from controlplane.store.notify.notifications import listen
from controlplane.store.resources.clusters import save_cluster, save_org
from controlplane.store.resources.projects import create_project
from controlplane.usecases.artifacts import Artifacts
from controlplane.usecases.data import Data
from controlplane.usecases.logs import Logs
from controlplane.usecases.projects import Projects
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.tasks import Tasks
from controlplane.usecases.triggers import Triggers
from controlplane.web.blobs import SignedBlobs
from shared.blobs.store import BlobStore, open_store
from shared.kit.clock import SystemClock
from shared.model.ids import AttemptId, ClusterName, OrgName, ProjectName
from shared.model.logs import LogChunk
from tests.contract.blobs.world import World
from tests.factories import NOW, ORG
from tests.integration.runs import make_actions, make_deliveries
from tests.integration.store.conftest import CLUSTER
from tests.servers.azurite import AzureForTests, azure_server
from tests.servers.gcs import gcs_server
from tests.servers.http import serving
from tests.servers.seaweed import S3ForTests

__all__ = ["azure_server"]  # a fixture


_BUCKETS = ["s3", "gcs", "azure"]


@pytest.fixture(params=["directory", *_BUCKETS])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    async with _opened(request, tmp_path) as opened:
        yield opened


@pytest.fixture(params=_BUCKETS)
async def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    async with _opened(request, tmp_path) as opened:
        await opened.write(opened.uri("first"), b"makes the bucket")
        yield opened


@asynccontextmanager
async def _opened(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[BlobStore]:
    match request.param:
        case "directory":
            yield open_store(f"file://{directory}/blobs")
        case "s3":
            server: S3ForTests = request.getfixturevalue("s3_server")
            yield open_store(server.new_base(), server.options)
        case "gcs":
            async with gcs_server(request.getfixturevalue("s3_server"), directory) as gcs:
                yield open_store(gcs.new_base(), gcs.options)
        case _:
            azure: AzureForTests = request.getfixturevalue("azure_server")
            yield open_store(azure.new_base(), azure.options)


@pytest.fixture
async def world(store: BlobStore, database_url: str) -> AsyncIterator[World]:
    database, clock = open_database(database_url), SystemClock()
    async with database.for_org(ORG) as tx:
        await save_org(tx, NOW)
        await save_cluster(tx, CLUSTER, b"digest", NOW)
        await create_project(tx, Project(id=ProjectName("p"), name="P"), now=NOW)
    feeds = Feeds(database, lambda: listen(database_url))
    actions = make_actions(database, feeds, clock, store)
    keys = SigningKeys(SigningKey(b"k" * 32))
    routes = SignedBlobs(store, keys, clock).routes()
    async with serving(Starlette(routes=routes)) as address, httpx.AsyncClient() as http:
        data = Data(
            store,
            clock,
            actions=actions,
            projects=Projects(database, clock),
            keys=keys,
            public_url=address,
        )
        logs = Logs(actions, store, NoAgents())
        settings = ScopedSettings(database, clock, base=store.base)
        tasks = Tasks(database, clock)
        triggers = Triggers(
            database,
            clock,
            tasks=tasks,
            data=data,
            settings=settings,
            deliveries=make_deliveries(database, clock),
        )
        artifacts = Artifacts(database, clock)
        proxy = DataProxyService(data, tasks, triggers, logs, settings, artifacts=artifacts)
        yield World(store, proxy, http, database)
    await database.close()


class NoAgents:
    """Agent sessions without a connected agent, so that no log can be followed."""

    def follow_logs(
        self, org: OrgName, cluster: ClusterName, attempt: AttemptId, after_line: int
    ) -> AsyncGenerator[LogChunk, None]:
        raise UnavailableError(f"no agent of {org}/{cluster}: {attempt} from {after_line}")
