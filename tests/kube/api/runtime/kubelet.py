"""The part of scheduler and kubelet, played by a test: what they write into a pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kube.client import Json, KubeClient, wait_until

NODE = "node-of-the-test"


@dataclass(frozen=True, slots=True)
class Kubelet:
    api: KubeClient

    async def place(self, path: str) -> Json:
        """Wait for the pod, and give it a node; from now on only we take it away."""
        await wait_until(lambda: self.api.exists(path), f"{path} is there")
        name = path.rpartition("/")[2]
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}}
        await self.api.create(f"{path}/binding", {**binding, "apiVersion": "v1", "kind": "Binding"})
        return await self.api.get(path)

    async def run(self, path: str) -> Json:
        pod = await self.place(path)
        await self.say(path, "Running", {"running": {"startedAt": _now()}})
        return pod

    async def wait(self, path: str, reason: str, message: str = "") -> None:
        await self.say(path, "Pending", {"waiting": {"reason": reason, "message": message}})

    async def end(self, path: str, code: int, *, reason: str = "", seconds: float = 0) -> None:
        """Say that its first container has ended, so many seconds from now."""
        terminated = {
            "exitCode": code,
            "reason": reason or ("Error" if code else "Completed"),
            "startedAt": _now(seconds=seconds - 5),
            "finishedAt": _now(seconds=seconds),
        }
        await self.say(path, "Failed" if code else "Succeeded", {"terminated": terminated})

    async def say(self, path: str, phase: str, state: Mapping[str, Any]) -> None:
        pod = await self.api.get(path)
        statuses = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": state if index == 0 else {"running": {"startedAt": _now()}},
            }
            for index, container in enumerate(pod["spec"]["containers"])
        ]
        status = {"phase": phase, "containerStatuses": statuses}
        await self.api.patch(f"{path}/status", {"status": status})

    async def finish(self, path: str) -> None:
        """Say that nothing of the pod is left."""
        await self.api.delete(path, gracePeriodSeconds="0")


def _now(*, seconds: float = 0) -> str:
    at = datetime.now(UTC) + timedelta(seconds=seconds)  # noqa: TID251 - as a kubelet has it
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
