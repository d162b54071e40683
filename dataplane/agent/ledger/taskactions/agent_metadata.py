"""
Metadata of the agent in one ConfigMap, written shortly after it changed.

It holds the agent's id, last epoch and last heartbeat. Standby replicas read it, so that their
proxies know whether the last acknowledged heartbeat is recent enough.
"""

import logging
from collections.abc import Mapping

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.objects import AGENT_LABEL, CONFIG_MAP, MANAGED_LABEL, Name, Object
from dataplane.agent.ledger.taskactions import journal_limits
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup

logger = logging.getLogger(__name__)

METADATA_NAME = "volary-agent-facts"


def parse_metadata(obj: Object) -> Mapping[str, str]:
    return obj.get("data") or {}


class AgentMetadata:
    def __init__(self, kube: Kube, agent_namespace: str, clock: Clock) -> None:
        """``kube`` must retry without a timeout."""
        self._kube = kube
        self._name = Name(agent_namespace, METADATA_NAME)
        self._clock = clock
        self._known: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._wakeup = Wakeup()

    async def load(self) -> Mapping[str, str]:
        try:
            self._known = dict(parse_metadata(await self._kube.get(CONFIG_MAP, self._name)))
        except NotFoundError:
            self._known = {}
        return self._known

    async def write_now(self, metadata: Mapping[str, str]) -> None:
        self._note(metadata)
        await self.flush()

    def write_soon(self, metadata: Mapping[str, str]) -> None:
        self._note(metadata)
        if self._unwritten:
            self._wakeup.wake()

    async def run(self) -> None:
        """Write changes until cancelled, at most once per METADATA_MIN_INTERVAL."""
        while True:
            await self._wakeup.wait(at_most=journal_limits.METADATA_MAX_INTERVAL)
            try:
                await self.flush()
            except KubeError as error:
                logger.error(  # noqa: TRY400 - a refusal of the API; the traceback adds nothing
                    "agent metadata not written, retrying",
                    extra={"config_map": str(self._name), "detail": str(error)},
                )
            await self._clock.sleep(journal_limits.METADATA_MIN_INTERVAL)

    def _note(self, metadata: Mapping[str, str]) -> None:
        update = {name: value for name, value in metadata.items() if self._known.get(name) != value}
        self._known |= update
        self._unwritten |= update

    async def flush(self) -> None:
        if not self._unwritten:
            return
        writing = dict(self._unwritten)
        try:
            await self._kube.patch(CONFIG_MAP, self._name, {"data": writing})
        except NotFoundError:
            await self._create()
        self._unwritten = {
            name: value for name, value in self._unwritten.items() if writing.get(name) != value
        }

    async def _create(self) -> None:
        metadata = {
            "namespace": self._name.namespace,
            "name": self._name.name,
            "labels": {MANAGED_LABEL: "true", AGENT_LABEL: self._name.namespace},
        }
        data = dict(self._known)
        try:
            await self._kube.create(CONFIG_MAP, {"metadata": metadata, "data": data})
        except ExistsError:
            await self._kube.patch(CONFIG_MAP, self._name, {"data": data})
