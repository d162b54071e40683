"""
Composition root of the control plane: builds every object once, in order of dependency.

Read this file first for an overview.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from controlplane.agents import endpoint_of, make_agent_access
from controlplane.api import services as api
from controlplane.api.convert.data import code_bundle_of
from controlplane.api.convert.secrets import list_named_secrets
from controlplane.api.interceptors import Interceptors
from controlplane.api.metrics import CallMetrics
from controlplane.api.server import PublicApi
from controlplane.authn.anonymous import Anonymous
from controlplane.authn.authenticator import Authenticator
from controlplane.authn.login_settings import AuthMode
from controlplane.core.projects import Project
from controlplane.core.signing import SigningKey, SigningKeys
from controlplane.feeds.feeds import Feeds
from controlplane.history_loops import make_history_loops
from controlplane.http_port import make_http
from controlplane.link.attempt_tokens_service import AttemptTokenExchange
from controlplane.link.enrolment_service import Enrolling
from controlplane.link.forwarded_calls import Agents
from controlplane.link.live_calls import LiveCalls
from controlplane.link.logs import AgentLogs
from controlplane.link.metrics import LinkMetrics
from controlplane.link.probe_service import Probes
from controlplane.link.secrets_service import SecretDeliveries
from controlplane.link.server import AgentLinkService, LinkServer
from controlplane.logins import Logins, make_logins
from controlplane.loops.cache_waiters import CacheWaiters
from controlplane.loops.cascades import Cascades
from controlplane.loops.deliveries import DeliveryLoop
from controlplane.loops.leases import LeaseExpiry
from controlplane.loops.periodic import run_periodically
from controlplane.loops.stale_calls import StaleCallReaper
from controlplane.loops.timeouts import Timeouts
from controlplane.metrics import make_registry, run_readers
from controlplane.notifying import make_callback_routes, make_notifying
from controlplane.org_upkeep import make_org_upkeep
from controlplane.platform import make_platform
from controlplane.retention import Retention, policy_of
from controlplane.settings import Settings
from controlplane.store.checks import require_fit
from controlplane.store.clock import StoreClock
from controlplane.store.database import open_database
from controlplane.store.metrics import DatabaseMetrics
from controlplane.store.notify.notifications import listen
from controlplane.trigger_loops import TriggerLoops
from controlplane.usecases.actions import Actions
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.artifacts import Artifacts
from controlplane.usecases.bootstrap import bootstrap
from controlplane.usecases.cache_checks import CacheChecks
from controlplane.usecases.cache_entries import CacheEntries
from controlplane.usecases.data import Data
from controlplane.usecases.domains import Domains
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.files import Files
from controlplane.usecases.forwarded_calls import ForwardedCalls
from controlplane.usecases.identity.refusals import Refusals
from controlplane.usecases.log_lines import LogLines
from controlplane.usecases.logs import Logs
from controlplane.usecases.people import People
from controlplane.usecases.projects import Projects
from controlplane.usecases.recoveries import Recoveries
from controlplane.usecases.running_attempts import AttemptTokens
from controlplane.usecases.runs import Runs
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.secret_keys import SecretKeys, SecretKeySettings, open_secret_keys
from controlplane.usecases.secrets import Secrets
from controlplane.usecases.senders import make_senders
from controlplane.usecases.task_groups import TaskGroups
from controlplane.usecases.tasks import Tasks
from controlplane.usecases.tracked_runs import TrackedRuns
from controlplane.usecases.triggers import Triggers
from controlplane.web.blobs import SignedBlobs
from controlplane.web.health import Health
from controlplane.web.pages import HeaderGate, Pages
from shared.blobs.store import open_store
from shared.kit.settings import SettingsError
from shared.model.ids import ClusterName, OrgName, ProjectName
from shared.secrets.keyrings import KeyFileError
from shared.traces.opening import make_recorder

log = logging.getLogger(__name__)

PROJECTS = (Project(id=ProjectName("flytesnacks"), name="flytesnacks"),)
"""Projects that exist from the start, as in the Flyte reference."""


async def serve(settings: Settings, *, ready: Callable[[], None] = lambda: None) -> None:
    """
    Serve until cancelled.

    On stop, probes report "not ready", and after ``stop_delay`` calls and agents are sent to other
    replicas. A failure at the start ends the process; a later failure (a pass of a loop, a read
    of changes) is logged, counted and retried.

    ``ready`` is called once the HTTP and link ports listen. OSError: an address is taken.
    UnfitDatabaseError: a database address is unusable.
    """
    addresses, org = settings.database.addresses, OrgName(settings.tenant.org)
    await require_fit(addresses)
    traces = settings.traces
    spans = make_recorder(traces.endpoint, service="volary-controlplane", ratio=traces.ratio)
    metrics = make_registry(spans)
    pool = partial(
        open_database,
        addresses.orgs,
        fleet_url=addresses.fleet,
        pooled=addresses.pooled,
        metrics=DatabaseMetrics(metrics),
    )
    # Separate pools, so that many clients cannot starve agents, loops or probes.
    database = pool(name="api", pool_size=settings.database.pool_size)
    link_database = pool(name="link", pool_size=settings.database.link_pool_size)
    loop_database = pool(name="loops", pool_size=settings.database.loop_pool_size)
    probe_database = pool(name="probes", pool_size=1)
    clock = StoreClock(loop_database)
    blobs = open_store(settings.blobs.base, settings.blobs.options)
    keys = SigningKeys(current=SigningKey(settings.blobs.signing_key.reveal().encode()))
    feeds = Feeds(loop_database, partial(listen, addresses.direct), callers=database)
    forwarded_calls = ForwardedCalls(link_database, clock)
    live = LiveCalls()

    cache_checks = CacheChecks(database, blobs, clock, max_age=settings.cache.max_age)
    recoveries = Recoveries(database, blobs, clock)
    senders = make_senders(settings.notifications)
    actions = Actions(
        database,
        feeds,
        clock,
        cache_checks=cache_checks,
        recoveries=recoveries,
        require_webhook=senders.webhooks.require_address,
    )
    secret_keys = read_secret_keys(settings.secret_keys)
    secrets = Secrets(database, clock, secret_keys, list_named_secrets)
    tasks = Tasks(database, clock)
    projects = Projects(database, clock)
    agent_access = make_agent_access(
        settings.listeners.link_tls,
        settings.logins,
        link_database=link_database,
        loop_database=loop_database,
        feeds=feeds,
        clock=clock,
        metrics=metrics,
    )
    agent_sessions = AgentSessions(
        link_database, clock, None if agent_access is None else agent_access.identities
    )
    agent_logs = AgentLogs(Agents(live, forwarded_calls, feeds))
    logs = Logs(actions, blobs, agent_logs)
    data = Data(
        blobs,
        clock,
        actions=actions,
        projects=projects,
        keys=keys,
        public_url=settings.listeners.public_url,
    )
    settings_of_runs = ScopedSettings(database, clock, base=blobs.base)
    notifying = make_notifying(
        settings, loop_database, clock, senders=senders, secret_keys=secret_keys, keys=keys
    )
    deliveries = notifying.deliveries
    runs = Runs(
        database,
        feeds,
        clock,
        tasks=tasks,
        data=data,
        settings=settings_of_runs,
        cache_checks=cache_checks,
        recoveries=recoveries,
        deliveries=deliveries,
    )
    triggers = Triggers(
        database,
        clock,
        tasks=tasks,
        data=data,
        settings=settings_of_runs,
        deliveries=deliveries,
    )

    org_upkeep = make_org_upkeep(settings, database, loop_database, blobs, feeds=feeds, clock=clock)
    logins: Logins | None = None
    authn: Authenticator = Anonymous(org)
    api_authn = authn  # accepts tokens of tasks and sessions of browsers as well
    if settings.logins.mode is AuthMode.OIDC:
        logins = make_logins(
            settings.logins,
            database=database,
            loop_database=loop_database,
            feeds=feeds,
            clock=clock,
            public_url=settings.listeners.public_url,
            metrics=metrics,
        )
        authn, api_authn = logins.authn, logins.api_authn
    flyte = api.services(
        actions=actions,
        artifacts=Artifacts(database, clock),
        data=data,
        logs=logs,
        projects=projects,
        domains=Domains(database, clock),
        runs=runs,
        tracked_runs=TrackedRuns(database, clock, tasks, data, settings.tracked_runs),
        secrets=secrets,
        cache=CacheEntries(database, clock, data.access),
        settings=settings_of_runs,
        triggers=triggers,
        clock=clock,
        tasks=tasks,
        task_groups=TaskGroups(database, feeds),
        people=People(database, clock),
        base=blobs.base,
        public_url=settings.listeners.public_url,
        has_logins=logins is not None,
    )
    history = make_history_loops(loop_database, clock)
    public = PublicApi(
        {
            **flyte,
            **make_platform(
                database,
                clock,
                public_url=settings.listeners.public_url,
                self_service_orgs=settings.logins.self_service_orgs,
                deletion=org_upkeep.deletion,
                email_domains=org_upkeep.email_domains,
                secrets=lambda: secrets,
                providers=None if logins is None else logins.people.providers,
                senders=senders,
                feeds=feeds,
                keys=lambda: secret_keys,
                kept=policy_of(settings),
                create_run=api.create_run_of(flyte),
                log_lines=LogLines(actions, blobs, agent_logs),
                files=Files(blobs, actions, data.links, code_bundle_of),
            ),
        },
        Interceptors(
            api_authn,
            CallMetrics(metrics),
            clock,
            lineage=None if logins is None else logins.attempts,
            refused=Refusals(database, clock).record,
            spans=spans,
            rates=history.rates,
        ),
    )
    health = Health(probe_database, metrics, metrics_from=settings.listeners.tls.metrics_from)
    http = make_http(
        settings,
        public,
        clock=clock,
        metrics=metrics,
        pages=Pages(
            HeaderGate(authn) if logins is None else logins.page_gate,
            runs,
            actions,
            Explanations(database, clock),
        ),
        find_blob_origin=data.links.find_origin,
        routes=[
            *health.routes(),
            *SignedBlobs(blobs, keys, clock).routes(),
            *make_callback_routes(actions, keys, clock),
        ],
        logins=logins,
    )
    link_service = AgentLinkService(
        agent_sessions=agent_sessions,
        feeds=feeds,
        live=live,
        forwarded_calls=forwarded_calls,
        clock=clock,
        timings=settings.timings,
        metrics=LinkMetrics(metrics),
        spans=spans,
    )
    probes = Probes(agent_sessions, clock, blob_base=blobs.base)
    link = LinkServer(
        link_service,
        probes,
        SecretDeliveries(agent_sessions, secrets),
        settings.listeners.link_host,
        settings.listeners.link_port,
        tokens=AttemptTokenExchange(
            agent_sessions,
            AttemptTokens(link_database, None if logins is None else logins.authorization.tokens),
        ),
        limits=settings.link_limits,
        tls=None if agent_access is None else agent_access.tls,
        enrolling=None
        if agent_access is None
        else Enrolling(
            agent_access.enrolments,
            agent_access.identities,
            agent_sessions,
            clock,
            api_endpoint=endpoint_of(settings.listeners.public_url),
            ca_file=settings.listeners.link_tls.ca_file,
        ),
        enrolment_port=settings.listeners.link_tls.enrolment_port,
    )
    leases = LeaseExpiry(loop_database, clock, settings.timings)
    cascades = Cascades(loop_database, feeds.cascades, clock, every=timedelta(seconds=5))
    timeouts = Timeouts(loop_database, clock, every=timedelta(seconds=1))
    retention = Retention(settings, loop_database, blobs, clock)
    cache_waiters = CacheWaiters(
        loop_database,
        feeds.reservations,
        clock,
        checks=CacheChecks(loop_database, blobs, clock),
        every=timedelta(seconds=5),
    )
    delivery_loop = DeliveryLoop(loop_database, clock, deliveries, every=timedelta(seconds=1))
    trigger_loops = TriggerLoops(loop_database, blobs, clock, feeds.triggers)
    stale_calls = StaleCallReaper(loop_database, clock, every=timedelta(seconds=30))
    setting = partial(run_periodically, "clock", clock.set, every=timedelta(seconds=5), clock=clock)

    try:
        await clock.set()
        await bootstrap(
            database,
            clock,
            org=org,
            projects=PROJECTS,
            cluster=ClusterName(settings.tenant.cluster),
            cluster_token=settings.tenant.cluster_token,
        )
        await secrets.require_keys()
        await notifying.configs.require_keys(loop_database)
        if logins is not None:
            await logins.prepare()
        if agent_access is not None:
            await agent_access.prepare()
        await link.start()
        # Nested, so that servers and loops stop before the services they use: calls finish.
        async with asyncio.TaskGroup() as services:
            services.create_task(setting(), name="clock")
            services.create_task(feeds.run(), name="feeds")
            services.create_task(actions.run(), name="enqueues")
            services.create_task(agent_sessions.run(), name="heartbeats")
            if logins is not None:
                services.create_task(logins.run(public.streams), name="logins")
            if agent_access is not None:
                services.create_task(agent_access.run(), name="agent access")
            async with asyncio.TaskGroup() as servers:
                servers.create_task(leases.run(), name="lease expiry")
                servers.create_task(cascades.run(), name="cascades")
                servers.create_task(timeouts.run(), name="timeouts")
                servers.create_task(retention.run(), name="retention")
                servers.create_task(history.run(), name="history")
                servers.create_task(cache_waiters.run(), name="cache waiters")
                servers.create_task(org_upkeep.run(), name="orgs")
                servers.create_task(stale_calls.run(), name="stale calls")
                servers.create_task(run_readers(loop_database, clock, metrics), name="metrics")
                servers.create_task(delivery_loop.run(), name="deliveries")
                servers.create_task(trigger_loops.run(), name="triggers")
                servers.create_task(link.run(), name="link")
                servers.create_task(http.run(), name="http")
                log.info(
                    "control plane serving",
                    extra={"http": http.port, "link": link.port, "org": settings.tenant.org},
                )
                ready()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    health.stop()
                    await clock.sleep(settings.listeners.stop_delay)
    finally:
        await senders.webhooks.close()
        await spans.close()
        for each in (database, link_database, loop_database, probe_database):
            await each.close()


def read_secret_keys(settings: SecretKeySettings) -> SecretKeys:
    """Read the keys of secrets; SettingsError names a file that cannot be used."""
    try:
        return open_secret_keys(settings)
    except KeyFileError as error:
        raise SettingsError(str(error)) from error
