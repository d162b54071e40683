"""
The API as it is served: real Postgres, a real directory, HTTP on loopback.

Nothing is running behind it; :meth:`ApiUnderTest.finish` plays the agent through the store.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from flyteidl2.actions.actions_service_connect import ActionsServiceClient
from flyteidl2.artifact.artifact_service_connect import ArtifactServiceClient
from flyteidl2.auth.auth_service_connect import AuthMetadataServiceClient
from flyteidl2.auth.identity_connect import IdentityServiceClient
from flyteidl2.cacheservice.v2.cacheservice_connect import CacheServiceClient
from flyteidl2.cluster.service_connect import ClusterServiceClient
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClient
from flyteidl2.org.domain_service_connect import DomainServiceClient
from flyteidl2.project.project_service_connect import ProjectServiceClient
from flyteidl2.secret.secret_connect import SecretServiceClient
from flyteidl2.settings.settings_service_connect import SettingsServiceClient
from flyteidl2.task.task_service_connect import TaskServiceClient
from flyteidl2.trigger.trigger_service_connect import TriggerServiceClient
from flyteidl2.workflow.queue_service_connect import QueueServiceClient
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.state_service_connect import StateServiceClient
from flyteidl2.workflow.tracked_run_service_connect import TrackedRunServiceClient
from flyteidl2.workflow.translator_service_connect import TranslatorServiceClient
from prometheus_client import CollectorRegistry

from controlplane.api import services as api
from controlplane.api.attempt_calls import Lineage
from controlplane.api.convert.data import code_bundle_of
from controlplane.api.convert.signals import parse_json
from controlplane.api.interceptors import Interceptors
from controlplane.api.metrics import CallMetrics
from controlplane.api.request_rates import RequestRates
from controlplane.api.resources.server import ResourceApi
from controlplane.api.server import PublicApi
from controlplane.authn.anonymous import Anonymous
from controlplane.authn.authenticator import Authenticator
from controlplane.authn.sealing import Sealer
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.projects import Project
from controlplane.core.signing import SigningKey, SigningKeys
from controlplane.feeds.feeds import Feeds
from controlplane.link.forwarded_calls import Agents
from controlplane.link.live_calls import LiveCalls
from controlplane.link.logs import AgentLogs
from controlplane.outbound.webhooks import Webhooks
from controlplane.platform import make_platform
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch.claim import claim
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.notify.notifications import listen
from controlplane.usecases.actions import Actions
from controlplane.usecases.artifacts import Artifacts
from controlplane.usecases.bootstrap import bootstrap
from controlplane.usecases.cache_checks import CacheChecks
from controlplane.usecases.cache_entries import CacheEntries
from controlplane.usecases.callbacks import Callbacks
from controlplane.usecases.data import Data
from controlplane.usecases.domains import Domains
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.files import Files
from controlplane.usecases.forwarded_calls import ForwardedCalls
from controlplane.usecases.identity.providers import IdentityProviders
from controlplane.usecases.identity.refusals import Refusals
from controlplane.usecases.log_lines import LogLines
from controlplane.usecases.logs import Logs
from controlplane.usecases.people import People
from controlplane.usecases.projects import Projects
from controlplane.usecases.recoveries import Recoveries
from controlplane.usecases.runs import Runs
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.secrets import Secrets
from controlplane.usecases.task_groups import TaskGroups
from controlplane.usecases.tasks import Tasks
from controlplane.usecases.tracked_run_settings import TrackedRunSettings
from controlplane.usecases.tracked_runs import TrackedRuns
from controlplane.usecases.triggers import Triggers
from controlplane.web import openapi
from controlplane.web.app import make_application
from controlplane.web.blobs import SignedBlobs
from controlplane.web.callbacks import CallbackRoutes
from controlplane.web.console import BuiltConsole, Console, find_release
from controlplane.web.health import Health
from controlplane.web.http_limits import HttpLimits
from controlplane.web.origins import OriginCheck
from controlplane.web.pages import HeaderGate, Pages
from controlplane.web.peers import Peers
from controlplane.web.security_headers import SecurityHeaders
from controlplane.web.serving import HttpServer
from shared.blobs.store import BlobStore, open_store
from shared.kit.clock import SystemClock
from shared.kit.connections import Connections
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName, OrgName, ProjectName
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, Failure, LogLink, Report
from tests.integration.runs import SECRET_KEYS, make_deliveries
from tests.running import running

ORG = OrgName("acme")
LOCAL = ip_network("127.0.0.1/32")
CLUSTER = ClusterName("local")
PROJECT = "flytesnacks"
DOMAIN = "development"


@dataclass(frozen=True, slots=True)
class ApiUnderTest:
    url: str
    api: PublicApi
    database: Database
    blobs: BlobStore
    metrics: CollectorRegistry
    connections: Connections
    made: dict[str, str] = field(default_factory=dict)
    """Ids of things that a test has made, by their kind."""

    @property
    def runs(self) -> Any:
        return RunServiceClient(self.url)

    @property
    def tracked(self) -> Any:
        return TrackedRunServiceClient(self.url)

    @property
    def actions(self) -> Any:
        return ActionsServiceClient(self.url)

    @property
    def queue(self) -> Any:
        return QueueServiceClient(self.url)

    @property
    def state(self) -> Any:
        return StateServiceClient(self.url)

    @property
    def tasks(self) -> Any:
        return TaskServiceClient(self.url)

    @property
    def triggers(self) -> Any:
        return TriggerServiceClient(self.url)

    @property
    def projects(self) -> Any:
        return ProjectServiceClient(self.url)

    @property
    def domains(self) -> DomainServiceClient:
        return DomainServiceClient(self.url)

    @property
    def secrets(self) -> Any:
        return SecretServiceClient(self.url)

    @property
    def settings(self) -> SettingsServiceClient:
        return SettingsServiceClient(self.url)

    @property
    def artifacts(self) -> ArtifactServiceClient:
        return ArtifactServiceClient(self.url)

    @property
    def data(self) -> Any:
        return DataProxyServiceClient(self.url)

    @property
    def translator(self) -> TranslatorServiceClient:
        return TranslatorServiceClient(self.url)

    @property
    def clusters(self) -> Any:
        return ClusterServiceClient(self.url)

    @property
    def cache(self) -> Any:
        return CacheServiceClient(self.url)

    @property
    def identity(self) -> Any:
        return IdentityServiceClient(self.url)

    @property
    def auth(self) -> Any:
        return AuthMetadataServiceClient(self.url)

    async def claim(self, most: int = 100) -> Sequence[Assignment]:
        async with self.database.for_org(ORG) as tx:
            found = await claim(
                tx, CLUSTER, "", scheduler=FairScheduler(), most=most, now=SystemClock().now()
            )
            return found.assignments

    async def report(
        self,
        assignment: Assignment,
        *phases: Phase,
        failure: Failure | None = None,
        first_version: int = 1,
        log_links: Sequence[LogLink] = (),
        events: Sequence[ClusterEvent] = (),
    ) -> None:
        """Report phases of one attempt, as an agent would."""
        reports = [
            Report(
                attempt=assignment.attempt,
                lease=assignment.lease,
                version=version,
                phase=phase,
                at=SystemClock().now(),
                failure=failure if phase is phases[-1] else None,
                output_uri=assignment.output_prefix if phase is Phase.SUCCEEDED else "",
                log_links=log_links if version == first_version else (),
                events=events if version == first_version else (),
            )
            for version, phase in enumerate(phases, start=first_version)
        ]
        async with self.database.for_org(ORG) as tx:
            await apply_reports(tx, CLUSTER, reports, SystemClock().now())

    async def finish(self, phase: Phase = Phase.SUCCEEDED, failure: Failure | None = None) -> None:
        """Claim whatever waits, and end it."""
        for assignment in await self.claim():
            await self.report(assignment, Phase.RUNNING, phase, failure=failure)


@asynccontextmanager
async def open_api(
    database_url: str,
    directory: Path,
    *,
    limits: HttpLimits | None = None,
    blobs: BlobStore | None = None,
    authn: Authenticator | None = None,
    tls: ssl.SSLContext | None = None,
    peers: Peers | None = None,
    lineage: Lineage | None = None,
    console: BuiltConsole | None = None,
    cache_max_age: timedelta | None = None,
    rates: RequestRates | None = None,
) -> AsyncIterator[ApiUnderTest]:
    """Serve the API; ``blobs`` is the store of its data, by default one in ``directory``."""
    clock = SystemClock()
    metrics = CollectorRegistry()
    database = open_database(database_url, pool_size=4)
    blobs = blobs or open_store(f"file://{directory}")
    feeds = Feeds(database, partial(listen, database_url))
    keys = SigningKeys(current=SigningKey(b"k" * 32))
    await bootstrap(
        database,
        clock,
        org=ORG,
        projects=[Project(id=ProjectName(PROJECT), name=PROJECT)],
        cluster=CLUSTER,
        cluster_token=SecretText("token"),
    )
    cache_checks = CacheChecks(database, blobs, clock, max_age=cache_max_age)
    recoveries = Recoveries(database, blobs, clock)
    actions = Actions(
        database,
        feeds,
        clock,
        cache_checks=cache_checks,
        recoveries=recoveries,
        require_webhook=Webhooks(allow_http=True, allowed=[LOCAL]).require_address,
    )
    projects, tasks = Projects(database, clock), Tasks(database, clock)
    data = Data(
        blobs, clock, actions=actions, projects=projects, keys=keys, public_url="http://public"
    )
    settings = ScopedSettings(database, clock, base=blobs.base)
    runs = Runs(
        database,
        feeds,
        clock,
        tasks=tasks,
        data=data,
        settings=settings,
        cache_checks=cache_checks,
        recoveries=recoveries,
        deliveries=make_deliveries(database, clock),
    )
    triggers = Triggers(
        database,
        clock,
        tasks=tasks,
        data=data,
        settings=settings,
        deliveries=make_deliveries(database, clock),
    )
    agents = Agents(LiveCalls(), ForwardedCalls(database, clock), feeds)
    secrets = Secrets(database, clock, SECRET_KEYS)
    authn = authn or Anonymous(ORG)
    flyte = api.services(
        runs=runs,
        tracked_runs=TrackedRuns(database, clock, tasks, data, TrackedRunSettings()),
        actions=actions,
        tasks=tasks,
        task_groups=TaskGroups(database, feeds),
        people=People(database, clock),
        projects=projects,
        domains=Domains(database, clock),
        artifacts=Artifacts(database, clock),
        data=data,
        cache=CacheEntries(database, clock, data.access),
        logs=Logs(actions, blobs, AgentLogs(agents)),
        triggers=triggers,
        clock=clock,
        secrets=secrets,
        settings=settings,
        base=blobs.base,
        public_url="http://public",
    )
    public = PublicApi(
        {
            **flyte,
            **make_platform(
                database,
                clock,
                public_url="http://public",
                self_service_orgs=True,
                secrets=lambda: secrets,
                providers=IdentityProviders(database, Sealer([SecretBytes(b"k" * 32)]), clock),
                feeds=feeds,
                keys=lambda: SECRET_KEYS,
                create_run=api.create_run_of(flyte),
                log_lines=LogLines(actions, blobs, AgentLogs(agents)),
                files=Files(blobs, actions, data.links, code_bundle_of),
            ),
        },
        Interceptors(
            authn,
            CallMetrics(metrics),
            clock,
            lineage=lineage,
            refused=Refusals(database, clock).record,
            rates=rates,
        ),
    )
    application = make_application(
        public=public,
        resources=ResourceApi(public),
        routes=[
            *Health(database, metrics).routes(),
            *Console(
                Pages(HeaderGate(authn), runs, actions, Explanations(database, clock)),
                console,
                data.links.find_origin,
            ).routes(),
            *SignedBlobs(blobs, keys, clock).routes(),
            *CallbackRoutes(Callbacks(actions, keys, clock, parse_json)).routes(),
            *openapi.routes(),
        ],
        origin_check=OriginCheck("http://public"),
        peers=peers,
        security_headers=SecurityHeaders(
            "https://public", release=find_release() if console is None else console.release
        ),
    )
    async with asyncio.TaskGroup() as tasks_group:
        background = [
            tasks_group.create_task(feeds.run()),
            tasks_group.create_task(actions.run()),
        ]
        try:
            http = HttpServer(
                application, "127.0.0.1", 0, before_stop=public.end_streams, limits=limits, tls=tls
            )
            async with running(http, at_most=300):
                url = f"http{'' if tls is None else 's'}://127.0.0.1:{http.port}"
                yield ApiUnderTest(url, public, database, blobs, metrics, http.connections)
        finally:
            for task in background:
                task.cancel()
    await database.close()
