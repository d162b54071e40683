"""
A cluster as a customer has it: the chart's own pods, under the chart's own account, and a
control plane outside, behind TLS.

The image is that of the tests, and the packages it lacks are the machine's, mounted; names are
not resolved on this node, so the door goes by its Service's address. All else is the chart's.
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi

from tests.kube.certificates import Authority, Identity
from tests.kube.client import KubeClient, KubeError, wait_until
from tests.kube.images import TASK_IMAGE
from tests.kube.node.examples.world import _TOKEN, World
from tests.servers.helm import CHARTS, Helm

HOME = "volary-installed"
TASKS = "volary-installed-tasks"
NAME = "volary-agent"
_DEPLOYMENT = f"/apis/apps/v1/namespaces/{HOME}/deployments/{NAME}"
_SITE = Path(certifi.__file__).parents[1]
_READY_WITHIN = 180.0


@contextmanager
def fronts(at: str, shows: Identity, targets: dict[str, int]) -> Iterator[dict[str, int]]:
    """Take TLS at ``at`` and pass it on to ports of loopback; ``targets`` by protocol (ALPN)."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fronts")
    thread.start()

    async def open_one(protocol: str, target: int) -> asyncio.Server:
        trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trust.load_cert_chain(shows.certificate, shows.key)
        trust.set_alpn_protocols([protocol])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind = await asyncio.open_connection("127.0.0.1", target)
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(_pass_on(reader, behind[1]))
                    ways.create_task(_pass_on(behind[0], writer))
            except asyncio.CancelledError:
                return  # the test is over; asyncio would log each connection that is cut
            finally:
                for each in (writer, behind[1]):
                    each.transport.abort()

        return await asyncio.start_server(serve, at, 0, ssl=trust)

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    servers = {protocol: wait(open_one(protocol, port)) for protocol, port in targets.items()}
    try:
        yield {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    finally:
        wait(_end(list(servers.values())))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # whoever hung up has heard all that there was
    finally:
        writer.close()


async def _end(servers: list[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(5):  # what was aborted is closed in the loop's next turns
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    world: World
    helm: Helm
    authority: Authority
    link_port: int
    api_port: int

    @property
    def machine(self) -> str:
        return self.world.node.place.network.machine

    def values(self) -> dict[str, Any]:
        repository, _, tag = TASK_IMAGE.partition(":")
        return {
            "image": {"repository": repository, "tag": tag},
            "copilot": {"image": TASK_IMAGE},
            "controlPlane": {
                "link": f"{self.machine}:{self.link_port}",
                "api": f"{self.machine}:{self.api_port}",
                "certificateAuthority": {"existingConfigMap": "authority"},
            },
            "token": {"existingSecret": "volary-token"},
            "namespaces": {"template": TASKS},
            "tasks": {"environmentSecret": "bucket"},
            "storage": {"existingSecret": "bucket"},
            "extraEnv": [{"name": "PYTHONPATH", "value": "/opt/volary:/site"}],
            "extraVolumes": [{"name": "site", "hostPath": {"path": str(_SITE)}}],
            "extraVolumeMounts": [{"name": "site", "mountPath": "/site", "readOnly": True}],
        }

    async def install(self, kube: KubeClient) -> None:
        """Do what the page tells a platform engineer to do."""
        for namespace in (HOME, TASKS):
            await kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
            await kube.create(
                f"/api/v1/namespaces/{namespace}/secrets",
                {"metadata": {"name": "bucket"}, "stringData": self.world._for_tasks()},
            )
        await kube.create(
            f"/api/v1/namespaces/{TASKS}/secrets",
            {"metadata": {"name": "examples"}, "stringData": {"greeting": "Hi"}},
        )
        await kube.create(
            f"/api/v1/namespaces/{HOME}/secrets",
            {"metadata": {"name": "volary-token"}, "stringData": {"token": _TOKEN}},
        )
        await kube.create(
            f"/api/v1/namespaces/{HOME}/configmaps",
            {
                "metadata": {"name": "authority"},
                "data": {"ca.crt": self.authority.certificate.read_text()},
            },
        )
        await asyncio.to_thread(
            self.helm.run,
            *("install", "volary", CHARTS / "volary-agent", f"--namespace={HOME}"),
            values=self.values(),
        )
        await self._suit_node(kube)
        await wait_until(
            lambda: self._is_ready(kube), "both agents are ready", within=_READY_WITHIN
        )

    async def uninstall(self, kube: KubeClient) -> None:
        """Leave the node to others."""
        await asyncio.to_thread(self.helm.run, "uninstall", "volary", f"--namespace={HOME}")
        for namespace in (TASKS, HOME):
            await kube.delete(f"/api/v1/namespaces/{namespace}")

    async def _suit_node(self, kube: KubeClient) -> None:
        """Start the program of an image without one; reach the door where there are no names."""
        service = await kube.get(f"/api/v1/namespaces/{HOME}/services/{NAME}-door")
        deployment = await kube.get(_DEPLOYMENT)
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        container["command"] = ["python3", "-m", "dataplane.agent"]
        address = f"{service['spec']['clusterIP']}:443"
        container["env"].append({"name": "VOLARY_AGENT_DOOR_ADDRESS", "value": address})
        del deployment["metadata"]["resourceVersion"]  # its controller counts pods meanwhile
        await kube.replace(_DEPLOYMENT, deployment)

    async def _is_ready(self, kube: KubeClient) -> bool:
        status = (await kube.get(_DEPLOYMENT))["status"]
        return bool(status.get("readyReplicas") == 2 and status.get("updatedReplicas") == 2)

    async def agents(self, kube: KubeClient) -> list[dict[str, Any]]:
        """The pods of the release that are not about to go."""
        pods = await kube.list(
            f"/api/v1/namespaces/{HOME}/pods", labelSelector="app.kubernetes.io/component=agent"
        )
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    async def said(self, kube: KubeClient) -> str:
        """What everybody said, for a test that failed."""
        words = [self.world.said()]
        for pod in await self.agents(kube):
            name = pod["metadata"]["name"]
            try:
                log = await kube.log(f"/api/v1/namespaces/{HOME}/pods/{name}")
            except KubeError as error:
                log = str(error)
            words.append(f"== {name} {pod['status']}\n{log[-8000:]}")
        return "\n".join(words)

    def doctor(self, pod: str) -> str:
        """Run it in the agent's pod; AssertionError with its words if something fails."""
        command = ("python3", "-m", "dataplane.agent", "doctor")
        return self.world.node.kube.kubectl("exec", "-n", HOME, pod, "--", *command)
