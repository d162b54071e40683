"""
The agent of a cluster: its attempts are pods, its memory is the cluster's own.

Any number of replicas may run. All of them watch, and serve the door; the one that holds
the Lease also keeps the ledger, the link and the attempts, and lets go of them in time.
"""

import asyncio
import ipaddress
import logging
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dataplane.agent.door.door import Door
from dataplane.agent.door.opening import Site, open_door
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
from dataplane.agent.link.channel import DialError, Token
from dataplane.agent.main.contact import Contacts
from dataplane.agent.main.metrics import Metrics
from dataplane.agent.main.services import Equipment, run_services
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.choice import INLINE, Choice, Logs, Runtimes, is_inline
from dataplane.agent.runtimes.connectors.endpoints import ConnectorSettings, Endpoints
from dataplane.agent.runtimes.connectors.runtime import ConnectorRuntime
from dataplane.agent.runtimes.inline import InlineRuntime
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.plugin import Plugin
from dataplane.agent.runtimes.kubernetes.plugins.registry import all_plugins
from dataplane.agent.runtimes.kubernetes.pods import (
    Copilot,
    Door as DoorOfPods,
    Fence,
    PodTemplates,
)
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from dataplane.agent.runtimes.kubernetes.secret_values import KubeSecretValues
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.unsupported import KUBERNETES, UnsupportedRuntime
from dataplane.agent.settings import KubernetesSettings, Settings
from shared.kit.clock import Clock, SystemClock
from shared.model.reports import LogLink

logger = logging.getLogger(__name__)

_OURS = f"{MANAGED_LABEL}=true"


async def run_pods(settings: Settings, own: KubernetesSettings) -> None:
    clock = SystemClock()
    async with (
        Kube.open(own.kubeconfig) as kube,
        # Renewing the Lease must not wait behind anything else.
        Kube.open(own.kubeconfig) as kube_of_election,
    ):
        plugins = await _find_plugins(kube, own)
        fence = await _find_fence(kube, own)
        # Consent ends so early that the kubelet, the slowest of all, is through in time.
        takes = settings.grace if fence is None else max(settings.grace, fence.takes)
        contacts = Contacts(kube, own.namespace, takes, clock)
        sight = _look(kube, plugins, own, clock)
        async with open_door(
            _site(settings, own),
            kube=kube,
            pods=sight.pods,
            clock=clock,
            is_fresh=contacts.is_fresh,
        ) as door:
            leader = _Leader(
                settings=settings,
                own=own,
                kube=kube,
                plugins=plugins,
                sight=sight,
                door=door,
                contacts=contacts,
                fence=fence,
                connectors=ConnectorSettings(
                    endpoints=own.connectors, by_type=own.connector_by_type
                ),
                clock=clock,
            )
            lease = Name(own.namespace, own.lease_name)
            election = Election(kube_of_election, lease, own.identity, clock)
            metrics = Metrics(kube, sight.informers, sight.events, door, election)
            async with asyncio.TaskGroup() as services:
                for kind, informer in sight.informers.items():
                    services.create_task(informer.run(), name=f"informer of {kind.plural}")
                for informer in sight.templates:
                    services.create_task(informer.run(), name="informer of pod templates")
                services.create_task(sight.events.run(), name="informer of events")
                services.create_task(contacts.run(), name="contacts")
                services.create_task(door.run(), name="door")
                if own.metrics_listen:
                    services.create_task(metrics.serve(own.metrics_listen), name="metrics")
                services.create_task(election.run(leader.lead), name="election")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What every replica sees of the cluster."""

    informers: Mapping[Kind, Informer]  # of pods, and of the plugins' resources
    pods: Informer
    templates: Sequence[Informer]  # of the namespaces of tasks, and of the agent's own
    events: Events


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leader:
    """What only the replica that leads does."""

    settings: Settings
    own: KubernetesSettings
    kube: Kube
    plugins: Sequence[Plugin]
    sight: _Sight
    door: Door
    contacts: Contacts
    fence: Fence | None
    connectors: ConnectorSettings
    clock: Clock

    async def lead(self) -> None:
        """Keep the ledger and run its attempts, until cancelled."""
        namespaces = Namespaces(
            self.kube,
            own=self.own.namespace,
            template=self.own.namespace_template,
            create=self.own.create_namespaces,
            clock=self.clock,
            pod_security=self.own.pods.security.level,
        )
        async with TaskActionJournal.open(
            self.kube,
            place=self.own.namespace,
            namespace_template=self.own.namespace_template,
            namespaces=namespaces,
            retention=self.settings.retention,
            clock=self.clock,
        ) as journal:
            ledger = Ledger(journal)
            await ledger.load()
            with self.contacts.leading(ledger):
                await run_services(
                    self.settings, self._equip(ledger, journal, namespaces), self.clock
                )

    def _equip(
        self, ledger: Ledger, journal: TaskActionJournal, namespaces: Namespaces
    ) -> Equipment:
        stores = Stores(self.clock)
        endpoints = Endpoints(self.connectors, self.clock)
        secrets = KubeSecretValues(self.kube, self.own.namespace_template, namespaces)
        connectors = ConnectorRuntime(endpoints, stores, self.clock, secrets=secrets)
        cluster = Cluster(
            kube=self.kube,
            informers=self.sight.informers,
            events=self.sight.events,
            templates=_pod_templates(self.settings, self.own, self.sight, self.fence),
            stores=stores,
            clock=self.clock,
            owners=journal,
            namespaces=self.own.namespace_template,
            ensure=namespaces.ensure,
            prepare=self.door.authority.publish,
            log_links=[LogLink(name, uri) for name, uri in self.own.log_links.items()],
            grace=self.settings.grace,
        )
        # All of them: what lacks its operator says so, and is not run as some pod.
        pods = KubernetesRuntime(cluster, _all_plugins(self.own))

        def suits_pods(job: Job) -> bool:
            return job.task.type in types or job.task.container is not None

        types = {name for plugin in self.plugins for name in plugin.task_types}
        runtimes = Runtimes(
            choices=[
                Choice(is_inline, InlineRuntime(stores, self.clock)),
                Choice(lambda job: connectors.suits(job, others=types), connectors),
                Choice(suits_pods, pods),
            ],
            unsupported=UnsupportedRuntime(KUBERNETES),
            capabilities=[*types, *INLINE, "*"],
            found=lambda: endpoints.task_types,
        )
        return Equipment(
            ledger=ledger,
            runtimes=runtimes,
            logs=Logs([pods, connectors]),
            fenced=self.contacts,
            free_memory=lambda: sys.maxsize,  # the scheduler knows the nodes'
            also={"connectors": endpoints.run} if self.connectors else {},
        )


def _all_plugins(own: KubernetesSettings) -> Sequence[Plugin]:
    return all_plugins(own.patience)


async def _find_plugins(kube: Kube, own: KubernetesSettings) -> Sequence[Plugin]:
    """Return the plugins whose resources this API server knows, and lets us make."""
    namespace = "" if "{" in own.namespace_template else own.namespace_template
    found = []
    for plugin in _all_plugins(own):
        try:
            known, _ = await kube.look(plugin.kind.base)
        except NotFoundError:
            continue  # its operator is not installed
        if not any(each.get("name") == plugin.kind.plural for each in known.get("resources", ())):
            continue
        if plugin.kind != POD and not await kube.may("create", plugin.kind, namespace):
            logger.warning("an operator may not be used", extra={"kind": plugin.kind.plural})
            continue
        found.append(plugin)
    return found


def _look(kube: Kube, plugins: Sequence[Plugin], own: KubernetesSettings, clock: Clock) -> _Sight:
    # Where one namespace takes all, the agent need not be allowed to look elsewhere.
    namespace = "" if "{" in own.namespace_template else own.namespace_template
    kinds = {plugin.kind for plugin in plugins}
    informers = {
        kind: Informer(kube, kind, namespace=namespace, labels=_OURS, clock=clock) for kind in kinds
    }
    return _Sight(
        informers=informers,
        pods=informers[POD],
        templates=[
            Informer(kube, POD_TEMPLATE, namespace=each, clock=clock)
            for each in sorted({namespace, own.namespace if namespace else ""})
        ],
        events=Events(kube, namespace=namespace, clock=clock),
    )


def _site(settings: Settings, own: KubernetesSettings) -> Site:
    trust = None
    if settings.ca_file is not None:
        try:
            trust = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:  # SSLError is one
            raise DialError(
                f"the CA file {settings.ca_file} holds no certificates that can be read; check "
                "--ca-file"
            ) from error
    token = Token(settings.token_file)
    return Site(
        listen=own.door_listen,
        places=[own.door_host],
        secret=Name(own.namespace, own.door_name),
        control_plane=own.public_url,
        trust=trust,
        credential=lambda: dict(token.metadata()),
    )


def _pod_templates(
    settings: Settings, own: KubernetesSettings, sight: _Sight, fence: Fence | None
) -> PodTemplates:
    templates = PodTemplates(
        door=DoorOfPods(address=own.door_address),
        copilot=Copilot(image=own.copilot_image) if own.copilot_image else None,
        fence=fence,
        templates=_ByName(sight.templates),
        agent_namespace=own.namespace,
        service_account=own.service_account,
        env_secret=own.env_from_secret,
        image_pull_secrets=own.image_pull_secrets,
        grace=settings.grace,
    )
    return own.pods.apply(templates)


async def _find_fence(kube: Kube, own: KubernetesSettings) -> Fence | None:
    """Say where the kubelet, which resolves no names of the cluster, finds the door."""
    try:
        ipaddress.ip_address(own.door_host)
    except ValueError:
        pass
    else:
        return Fence(host=own.door_host, port=own.door_port)
    try:
        service = await kube.get(SERVICE, Name(own.namespace, own.door_name))
    except NotFoundError:
        return None
    return Fence(host=service["spec"]["clusterIP"], port=own.door_port)


@dataclass(frozen=True, slots=True)
class _ByName(Mapping[Name, Object]):
    """What informers have, as a mapping that stays up to date."""

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
