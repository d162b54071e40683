"""Stub kubelet: marks every pod as completed at once, or as running."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from dataplane.agent.kube.client import ChangeKind, Kube
from dataplane.agent.kube.errors import ExpiredError, NotFoundError
from dataplane.agent.kube.objects import ACTION_LABEL, MANAGED_LABEL, POD, Object, name_of

_BEGAN = "2026-01-01T00:00:00Z"
_OURS = f"{MANAGED_LABEL}=true"


@dataclass(slots=True)
class Kubelet:
    """Marks each pod as running, or as completed if ``finishes``; records when it saw it first."""

    kube: Kube
    namespace: str
    finishes: bool = True
    seen: "dict[str, float]" = field(default_factory=dict)  # by action; ``perf_counter``
    running: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hands: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(16))

    async def run(self, ready: asyncio.Event) -> None:
        """Watch pods until cancelled; a watch that ends resumes at its last resource version."""
        since = ""
        async with asyncio.TaskGroup() as tasks:
            while True:
                if not since:
                    listing = await self.kube.list(POD, namespace=self.namespace, labels=_OURS)
                    for pod in listing.items:
                        self._see(pod, tasks)
                    since = listing.resource_version
                    ready.set()
                changes = self.kube.watch(POD, namespace=self.namespace, labels=_OURS, since=since)
                try:
                    async with aclosing(changes):
                        async for change in changes:
                            if change.kind is ChangeKind.ADDED:
                                self._see(change.object, tasks)
                            since = change.resource_version
                except ExpiredError:
                    since = ""

    def _see(self, pod: Object, tasks: asyncio.TaskGroup) -> None:
        action = pod["metadata"]["labels"][ACTION_LABEL]
        if action not in self.seen:
            self.seen[action] = time.perf_counter()
            tasks.create_task(self._find(pod))

    async def _find(self, pod: Object) -> None:
        status = self._status(pod["spec"]["containers"])
        async with self.hands:
            try:
                await self.kube.patch(POD, name_of(pod), {"status": status}, status=True)
            except NotFoundError:
                return  # a pod of an earlier part of the benchmark
        self.running += 1
        self.changed.set()

    def _status(self, containers: Sequence[Object]) -> dict[str, Any]:
        state: dict[str, object] = {"running": {"startedAt": _BEGAN}}
        if self.finishes:
            state = {"terminated": {"exitCode": 0, "reason": "Completed"}}
        status = {
            "state": state,
            "ready": not self.finishes,
            "restartCount": 0,
            "image": "benchmark:1",
            "imageID": "",
        }
        return {
            "phase": "Succeeded" if self.finishes else "Running",
            "containerStatuses": [{"name": each["name"], **status} for each in containers],
        }

    async def wait_for(self, count: int) -> None:
        while self.running < count:
            self.changed.clear()
            await self.changed.wait()
