"""
A benchmark that waits for ever says nothing; one that stalls says who is waited for.

What an action is at lies in the cluster: no TaskAction, it did not reach the agent; no pod,
or a pod that is done and a TaskAction that does not say so, the agent holds it up.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.dispatch import Bench
from benchmarks.kube.kubelet import Kubelet
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.objects import ACTION_LABEL, POD, TASK_ACTION, Kind

_EXAMPLES = 3


class StalledError(Exception):
    """Nothing moved for too long; the message says what is waited for."""


@dataclass(slots=True)
class Watchdog:
    bench: Bench
    kubelet: Kubelet
    kube: Kube
    timeout: float  # seconds without a move
    doing: str = ""  # the part of the benchmark that is under way

    async def run(self) -> None:
        """Raise StalledError when nothing has moved for so long; else run until cancelled."""
        clock = asyncio.get_running_loop().time
        state, since = self._state(), clock()
        while True:
            await asyncio.sleep(1)
            if self._state() != state:
                state, since = self._state(), clock()
            elif clock() - since > self.timeout:
                raise StalledError(
                    f"{self.doing}: nothing moved for {self.timeout:g} s. {await self._where()}"
                )

    def _state(self) -> tuple[object, ...]:
        return (self.doing, len(self.bench.watched.ended), self.kubelet.running)

    async def _where(self) -> str:
        """Say of each action whose end was not seen how far it has come."""
        pods = await self._phases(POD)
        recorded = await self._phases(TASK_ACTION)
        held: defaultdict[str, list[str]] = defaultdict(list)
        for action in self.bench.watched.sent.keys() - self.bench.watched.ended.keys():
            pod, record = pods.get(action), recorded.get(action)
            place = (
                f"TaskAction {record}, pod {pod}, seen by the kubelet {action in self.kubelet.seen}"
            )
            held[place].append(action)
        return "; ".join(
            f"{len(names)} with {place}, such as {', '.join(sorted(names)[:_EXAMPLES])}"
            for place, names in held.items()
        )

    async def _phases(self, kind: Kind) -> Mapping[str, str]:
        listing = await self.kube.list(kind, namespace=self.kubelet.namespace)
        return {
            item["metadata"]["labels"][ACTION_LABEL]: (item.get("status") or {}).get("phase", "")
            for item in listing.items
        }
