"""
Watchdog that fails a stalled benchmark and reports where its actions are stuck.

The state is read from the cluster. Without a TaskAction the action did not reach the agent;
without a pod, or with a completed pod whose TaskAction is not terminal, it is stuck in the
agent.
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
    """No progress for too long; the message says where the actions are stuck."""


@dataclass(slots=True)
class Watchdog:
    bench: Bench
    kubelet: Kubelet
    kube: Kube
    timeout: float  # seconds without progress
    doing: str = ""  # the current part of the benchmark

    async def run(self) -> None:
        """Run until cancelled; StalledError after ``timeout`` without progress."""
        clock = asyncio.get_running_loop().time
        state, since = self._state(), clock()
        while True:
            await asyncio.sleep(1)
            if self._state() != state:
                state, since = self._state(), clock()
            elif clock() - since > self.timeout:
                raise StalledError(
                    f"{self.doing}: no progress for {self.timeout:g} s. {await self._where()}"
                )

    def _state(self) -> tuple[object, ...]:
        return (self.doing, len(self.bench.watched.ended), self.kubelet.running)

    async def _where(self) -> str:
        """Describe the state of each action whose end was not observed."""
        pods = await self._phases(POD)
        recorded = await self._phases(TASK_ACTION)
        stuck: defaultdict[str, list[str]] = defaultdict(list)
        for action in self.bench.watched.sent.keys() - self.bench.watched.ended.keys():
            pod, record = pods.get(action), recorded.get(action)
            place = (
                f"TaskAction {record}, pod {pod}, seen by the kubelet {action in self.kubelet.seen}"
            )
            stuck[place].append(action)
        return "; ".join(
            f"{len(names)} with {place}, such as {', '.join(sorted(names)[:_EXAMPLES])}"
            for place, names in stuck.items()
        )

    async def _phases(self, kind: Kind) -> Mapping[str, str]:
        listing = await self.kube.list(kind, namespace=self.kubelet.namespace)
        return {
            item["metadata"]["labels"][ACTION_LABEL]: (item.get("status") or {}).get("phase", "")
            for item in listing.items
        }
