"""
What the agent knows of itself: one ConfigMap, written a moment after it changed.

Everybody in its namespace can read it; the doors of replicas that do not lead do, to know
how fresh the contact with the control plane is.
"""

import logging
from collections.abc import Mapping

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.objects import AGENT_LABEL, CONFIG_MAP, MANAGED_LABEL, Name, Object
from dataplane.agent.ledger.taskactions import limits
from shared.kit.clock import Clock
from shared.kit.waking import Bell

logger = logging.getLogger(__name__)

FACTS = "volary-agent-facts"


def facts_in(obj: Object) -> Mapping[str, str]:
    return obj.get("data") or {}


class Facts:
    def __init__(self, kube: Kube, place: str, clock: Clock) -> None:
        """``place`` is the agent's namespace; ``kube`` must be patient."""
        self._kube = kube
        self._name = Name(place, FACTS)
        self._clock = clock
        self._known: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._bell = Bell()

    async def load(self) -> Mapping[str, str]:
        try:
            self._known = dict(facts_in(await self._kube.get(CONFIG_MAP, self._name)))
        except NotFoundError:
            self._known = {}
        return self._known

    async def write_now(self, facts: Mapping[str, str]) -> None:
        self._note(facts)
        await self.flush()

    def write_soon(self, facts: Mapping[str, str]) -> None:
        self._note(facts)
        if self._unwritten:
            self._bell.ring()

    async def run(self) -> None:
        """Write until cancelled, so often and no more."""
        while True:
            await self._bell.wait(at_most=limits.FACTS_AT_LEAST_EVERY)
            try:
                await self.flush()
            except KubeError as error:
                logger.error(  # noqa: TRY400 - refused; where from is of no interest
                    "what the agent must remember cannot be written; it will be tried again",
                    extra={"config_map": str(self._name), "detail": str(error)},
                )
            await self._clock.sleep(limits.FACTS_AT_MOST_EVERY)

    def _note(self, facts: Mapping[str, str]) -> None:
        news = {name: value for name, value in facts.items() if self._known.get(name) != value}
        self._known |= news
        self._unwritten |= news

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
