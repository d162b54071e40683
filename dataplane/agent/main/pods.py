"""
Runs the agent in a Kubernetes cluster: attempts are pods, the ledger is TaskActions.

Any number of replicas may run. All of them watch the cluster and serve the in-cluster API
proxy; the one that holds the Lease also runs the ledger, the link and the attempts, and
stops doing so before the Lease expires.
"""

import asyncio
import ipaddress
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.election import Election
from dataplane.agent.kube.errors import NotFoundError
from dataplane.agent.kube.events import Events
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.namespaces import Namespaces
from dataplane.agent.kube.objects import (
    MANAGED_LABEL,
    POD,
    POD_TEMPLATE,
    SERVICE,
    Kind,
    Name,
    Object,
    name_of,
)
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.taskactions.journal import TaskActionJournal
from dataplane.agent.link.attempt_tokens import AttemptTokens
from dataplane.agent.link.channel import Credential, DialError
from dataplane.agent.link.secrets import SecretsClient
from dataplane.agent.main.checks import Checks
from dataplane.agent.main.cluster_keys import open_cluster_keys
from dataplane.agent.main.control_plane_heartbeat import ControlPlaneHeartbeat
from dataplane.agent.main.identity import SharedIdentity
from dataplane.agent.main.metrics import Metrics, MetricsServer
from dataplane.agent.main.plugins import find_plugins, list_plugins
from dataplane.agent.main.services import run_services
from dataplane.agent.proxy.credentials import AttemptCredentials
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.factory import Site, open_proxy
from dataplane.agent.proxy.server import ApiProxy
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors.endpoints import ConnectorSettings, Endpoints
from dataplane.agent.runtimes.connectors.runtime import ConnectorRuntime
from dataplane.agent.runtimes.inline import InlineRuntime
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.plugin import Plugin
from dataplane.agent.runtimes.kubernetes.pods import (
    Copilot,
    Fence,
    PodTemplates,
    ProxyAccess as PodProxy,
)
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from dataplane.agent.runtimes.kubernetes.secret_values import KubeSecretValues
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.runtime_selection import (
    INLINE,
    Logs,
    RuntimeOption,
    Runtimes,
    is_inline,
)
from dataplane.agent.runtimes.secrets import TaskSecrets
from dataplane.agent.runtimes.unsupported import KUBERNETES, UnsupportedRuntime
from dataplane.agent.secret_managers.choice import open_reader
from dataplane.agent.settings import KubernetesSettings, Settings
from shared.kit.certificates import CertificateError
from shared.kit.clock import Clock, SystemClock
from shared.kit.trust_file import TrustFile
from shared.model.reports import LogLink

logger = logging.getLogger(__name__)

_SLOTS = 1000
_OWN_SELECTOR = f"{MANAGED_LABEL}=true"


async def run_pods(
    settings: Settings, runtime_settings: KubernetesSettings, checks: Checks
) -> None:
    clock = SystemClock()
    async with (
        Kube.open(runtime_settings.kubeconfig) as kube,
        # A client of its own: renewing the Lease must not wait behind other calls.
        Kube.open(runtime_settings.kubeconfig) as kube_of_election,
    ):
        plugins = await find_plugins(kube, runtime_settings)
        fence = await _find_fence(kube, runtime_settings)
        # The fence closes so early that the kubelet, the slowest party, has killed pods in time.
        takes = settings.grace if fence is None else max(settings.grace, fence.takes)
        heartbeat = ControlPlaneHeartbeat(kube, runtime_settings.namespace, takes, clock)
        caches = _start_informers(kube, plugins, runtime_settings, clock)
        identity = SharedIdentity(settings, kube, runtime_settings.identity_secret, clock)
        site = _site(settings, runtime_settings, identity, clock)
        async with open_proxy(
            site,
            kube=kube,
            pods=caches.pods,
            clock=clock,
            is_fresh=heartbeat.is_fresh,
        ) as proxy:
            leader = _Leader(
                settings=settings,
                runtime_settings=runtime_settings,
                kube=kube,
                plugins=plugins,
                caches=caches,
                proxy=proxy,
                identity=identity,
                heartbeat=heartbeat,
                fence=fence,
                checks=checks,
                connectors=ConnectorSettings(
                    endpoints=runtime_settings.connectors,
                    by_type=runtime_settings.connector_by_type,
                ),
                clock=clock,
            )
            lease = Name(runtime_settings.namespace, runtime_settings.lease_name)
            election = Election(kube_of_election, lease, runtime_settings.identity, clock)
            metrics = Metrics(
                kube, caches.informers, caches.events, proxy, election, heartbeat=heartbeat
            )
            async with asyncio.TaskGroup() as services:
                for kind, informer in caches.informers.items():
                    services.create_task(informer.run(), name=f"informer of {kind.plural}")
                for informer in caches.templates:
                    services.create_task(informer.run(), name="informer of pod templates")
                services.create_task(caches.events.run(), name="informer of events")
                services.create_task(heartbeat.run(), name="heartbeat reader")
                services.create_task(identity.run(), name="identity reader")
                services.create_task(proxy.run(), name="proxy")
                if site.trust is not None:
                    services.create_task(site.trust.run(), name="trusted authorities")
                if runtime_settings.metrics_listen:
                    server = MetricsServer(runtime_settings.metrics_listen, metrics.render)
                    services.create_task(server.run(), name="metrics")
                services.create_task(election.run(leader.lead), name="election")


@dataclass(frozen=True, slots=True, kw_only=True)
class _InformerCaches:
    """Informers that every replica runs."""

    informers: Mapping[Kind, Informer]  # of pods and of the plugins' resources
    pods: Informer
    templates: Sequence[Informer]  # of the namespaces of tasks, and of the agent's own
    events: Events


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leader:
    """Services that only the leader runs."""

    settings: Settings
    runtime_settings: KubernetesSettings
    kube: Kube
    plugins: Sequence[Plugin]
    caches: _InformerCaches
    proxy: ApiProxy
    identity: SharedIdentity
    heartbeat: ControlPlaneHeartbeat
    fence: Fence | None
    connectors: ConnectorSettings
    checks: Checks
    clock: Clock

    async def lead(self) -> None:
        """Run the ledger, the link and the attempts until cancelled."""
        namespaces = Namespaces(
            self.kube,
            own=self.runtime_settings.namespace,
            template=self.runtime_settings.namespace_template,
            create=self.runtime_settings.create_namespaces,
            clock=self.clock,
            pod_security=self.runtime_settings.pods.security.level_in,
        )
        async with TaskActionJournal.open(
            self.kube,
            agent_namespace=self.runtime_settings.namespace,
            namespace_template=self.runtime_settings.namespace_template,
            namespaces=namespaces,
            retention=self.settings.retention,
            clock=self.clock,
        ) as journal:
            ledger = Ledger(journal)
            await ledger.load()
            with self.heartbeat.leading(ledger):
                try:
                    await self._run_services(ledger, journal, namespaces)
                finally:
                    self.identity.follow()

    async def _run_services(
        self, ledger: Ledger, journal: TaskActionJournal, namespaces: Namespaces
    ) -> None:
        stores = Stores(self.clock)
        endpoints = Endpoints(self.connectors, self.clock)
        keys = await open_cluster_keys(self.kube, self.runtime_settings.secrets_key)
        settings = self.settings
        credential = await self.identity.lead()
        outside = await asyncio.to_thread(open_reader, settings.secret_manager)
        secrets = TaskSecrets(
            SecretsClient(settings.control_plane, credential, settings.ca_file),
            keys,
            outside,
        )
        template = self.runtime_settings.namespace_template
        connectors = ConnectorRuntime(
            endpoints,
            stores,
            self.clock,
            secrets=KubeSecretValues(self.kube, template, namespaces, secrets),
        )
        cluster = Cluster(
            kube=self.kube,
            informers=self.caches.informers,
            events=self.caches.events,
            templates=_pod_templates(self.settings, self.runtime_settings, self.caches, self.fence),
            stores=stores,
            clock=self.clock,
            owners=journal,
            namespaces=self.runtime_settings.namespace_template,
            ensure=namespaces.ensure,
            prepare=self.proxy.authority.publish,
            secrets=secrets,
            log_links=[LogLink(name, uri) for name, uri in self.runtime_settings.log_links.items()],
            grace=self.settings.grace,
        )
        # All plugins: a task whose operator is missing fails with that reason, not as a plain pod.
        pods = KubernetesRuntime(cluster, list_plugins(self.runtime_settings))

        def suits_pods(job: Job) -> bool:
            return job.task.type in types or job.task.container is not None

        types = {name for plugin in self.plugins for name in plugin.task_types}
        runtimes = Runtimes(
            choices=[
                RuntimeOption(is_inline, InlineRuntime(stores, self.clock)),
                RuntimeOption(lambda job: connectors.suits(job, others=types), connectors),
                RuntimeOption(suits_pods, pods),
            ],
            unsupported=UnsupportedRuntime(KUBERNETES),
            capabilities=[*types, *INLINE, "*"],
            found=lambda: endpoints.task_types,
        )
        await run_services(
            self.settings,
            self.clock,
            credential=credential,
            ledger=ledger,
            runtimes=runtimes,
            check=partial(self.checks, self.settings, self.clock),
            slots=self.settings.slots or _SLOTS,
            logs=Logs([pods, connectors]),
            fenced=self.heartbeat,
            secrets_key=keys[0].public.der,
            free_memory=lambda: sys.maxsize,  # the Kubernetes scheduler knows the nodes'
            also={
                **({"connectors": endpoints.run} if self.connectors else {}),
                **({"secret manager": outside.run} if outside else {}),
            },
        )


def _start_informers(
    kube: Kube, plugins: Sequence[Plugin], runtime_settings: KubernetesSettings, clock: Clock
) -> _InformerCaches:
    # With a single namespace for all tasks, the agent needs no cluster-wide list and watch.
    namespace = (
        "" if "{" in runtime_settings.namespace_template else runtime_settings.namespace_template
    )
    kinds = {plugin.kind for plugin in plugins}
    informers = {
        kind: Informer(kube, kind, namespace=namespace, labels=_OWN_SELECTOR, clock=clock)
        for kind in kinds
    }
    return _InformerCaches(
        informers=informers,
        pods=informers[POD],
        templates=[
            Informer(kube, POD_TEMPLATE, namespace=each, clock=clock)
            for each in sorted({namespace, runtime_settings.namespace if namespace else ""})
        ],
        events=Events(kube, namespace=namespace, clock=clock),
    )


def _site(
    settings: Settings, runtime_settings: KubernetesSettings, identity: Credential, clock: Clock
) -> Site:
    trust = None
    ca_file = settings.api_ca_file
    if ca_file is not None:
        try:
            trust = TrustFile(ca_file)
        except CertificateError as error:
            raise DialError(f"{error}; check --ca-file and --public-ca-file") from error
    tokens = AttemptTokens(settings.control_plane, identity, settings.ca_file, clock)
    return Site(
        listen=runtime_settings.proxy_listen,
        projects=[runtime_settings.proxy_host],
        secret=Name(runtime_settings.namespace, runtime_settings.proxy_name),
        namespaces=runtime_settings.namespace_template,
        control_plane=settings.public_url,
        trust=trust,
        credential=AttemptCredentials(tokens.find, partial(_agent_headers, identity)),
    )


def _agent_headers(identity: Credential) -> Mapping[str, str]:
    """Return the shared token, if the agent has one in place of a certificate; PodCallRefusedError."""
    try:
        return dict(identity.metadata())
    except DialError as error:
        raise PodCallRefusedError(Code.UNAVAILABLE, str(error)) from error


def _pod_templates(
    settings: Settings,
    runtime_settings: KubernetesSettings,
    caches: _InformerCaches,
    fence: Fence | None,
) -> PodTemplates:
    templates = PodTemplates(
        proxy=PodProxy(address=runtime_settings.proxy_address),
        copilot=Copilot(image=image) if (image := runtime_settings.copilot_image) else None,
        fence=fence,
        templates=_ByName(caches.templates),
        agent_namespace=runtime_settings.namespace,
        service_account=runtime_settings.service_account,
        env_secret=runtime_settings.env_from_secret,
        azure_account=runtime_settings.azure_account,
        image_pull_secrets=runtime_settings.image_pull_secrets,
        grace=settings.grace,
    )
    return runtime_settings.pods.apply(templates)


async def _find_fence(kube: Kube, runtime_settings: KubernetesSettings) -> Fence | None:
    """Return the proxy's IP address for the kubelet, which cannot resolve Service names."""
    try:
        ipaddress.ip_address(runtime_settings.proxy_host)
    except ValueError:
        pass
    else:
        return Fence(host=runtime_settings.proxy_host, port=runtime_settings.proxy_port)
    try:
        service = await kube.get(
            SERVICE, Name(runtime_settings.namespace, runtime_settings.proxy_name)
        )
    except NotFoundError:
        return None
    return Fence(host=service["spec"]["clusterIP"], port=runtime_settings.proxy_port)


@dataclass(frozen=True, slots=True)
class _ByName(Mapping[Name, Object]):
    """Live view of several informers as one mapping by name."""

    informers: Sequence[Informer]

    def __getitem__(self, name: Name) -> Object:
        for informer in self.informers:
            if found := informer.get(name):
                return found
        raise KeyError(name)

    def __iter__(self) -> Iterator[Name]:
        return iter([name_of(obj) for informer in self.informers for obj in informer.all()])

    def __len__(self) -> int:
        return sum(map(len, self.informers))
