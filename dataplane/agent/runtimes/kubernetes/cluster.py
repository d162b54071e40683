"""Dependencies and settings of one cluster, shared by the reconcilers of all attempts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from dataplane.agent.core import attempt_limits
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError
from dataplane.agent.kube.events import Events
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import POD, Kind, Object
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.kubernetes import runtime_limits
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.secrets import NoSecretSource, TaskSecrets
from shared.kit.clock import Clock
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId
from shared.model.reports import LogLink


async def _leave(namespace: str) -> None:
    """Accept the namespace without a check."""


async def _take_any(namespace: str, assignment: Assignment) -> None:
    """Accept any existing object as this attempt's."""


class Owners(Protocol):
    """The ledger: it wrote the attempts' TaskActions, so their metadata needs no API request."""

    def find_object(self, attempt: AttemptId) -> Object | None:
        """Return the metadata of the attempt's TaskAction; None if the API has to be asked."""

    def note_object(self, attempt: AttemptId, obj: Object) -> None:
        """Cache the TaskAction as the API returned it."""


class _Unknown:
    def find_object(self, attempt: AttemptId) -> Object | None:
        """Return None."""

    def note_object(self, attempt: AttemptId, obj: Object) -> None:
        """Cache nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster: its API client, informers and ledger, and the settings that apply in it."""

    kube: Kube
    informers: Mapping[Kind, Informer]  # of pods, and of each kind that a plugin here creates
    events: Events
    templates: PodTemplates
    stores: Stores
    clock: Clock
    owners: Owners = field(default_factory=_Unknown)
    namespaces: str = "{project}-{domain}"
    # Called before a pod is created in a namespace: NoNamespaceError if it is not for tasks.
    ensure: Callable[[str, Assignment], Awaitable[None]] = _take_any
    prepare: Callable[[str], Awaitable[None]] = _leave
    grace: timedelta = (
        attempt_limits.STOP_GRACE
    )  # from SIGTERM to SIGKILL, when the agent ends a pod
    # A pod still present this long after its deletion deadline is on a lost node. Its object is
    # removed, and its token with it: a process that still runs there can call nothing.
    lost_after: timedelta = timedelta(minutes=5)
    secrets: TaskSecrets = field(default_factory=lambda: TaskSecrets(NoSecretSource()))
    log_links: Sequence[LogLink] = ()  # the cluster's own, with placeholders
    writes: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(runtime_limits.WRITES_AT_ONCE)
    )
    captures: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(runtime_limits.LOGS_AT_ONCE)
    )

    @property
    def pods(self) -> Informer:
        return self.informers[POD]

    @contextmanager
    def notified(self, attempt: str, kind: Kind) -> Iterator[asyncio.Event]:
        """Set the yielded event at each change that may concern the attempt."""
        with ExitStack() as stack:
            changed = asyncio.Event()
            stack.enter_context(self.events.notified(attempt, changed))
            for informer in {id(one): one for one in (self.pods, self.informers[kind])}.values():
                stack.enter_context(informer.notified(attempt, changed))
            yield changed

    async def synced(self, kind: Kind) -> None:
        """Wait until the informers of pods and of this kind have completed their first list."""
        await self.pods.synced()
        await self.informers[kind].synced()
        await self.events.synced()

    def problem(self, kind: Kind) -> KubeError | None:
        """Return why an informer is not up to date at present, or None."""
        watching = (self.pods, self.informers[kind], self.events)
        return next((one.problem for one in watching if one.problem is not None), None)
