"""An API proxy in this process before a real API server, and pods that call it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyqwest
from connectrpc.request import RequestContext

from dataplane.agent.core.pod_identity import TOKEN_AUDIENCE
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import (
    MANAGED_LABEL,
    POD,
    Name,
    annotate_attempt,
    label_attempt,
)
from dataplane.agent.proxy.factory import Site, open_proxy
from dataplane.agent.proxy.server import ApiProxy
from dataplane.agent.proxy.upstream import Credential
from shared.blobs.options import S3Options
from shared.kit.clock import Clock, SystemClock
from shared.kit.trust_file import TrustFile
from shared.model.assignments import Assignment
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    Digest,
    DomainName,
    LeaseId,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.system.commands import DOMAIN, PROJECT

ORG = "local"
AGENTS_TOKEN = "the-agents-own-token"  # noqa: S105


@dataclass(slots=True)
class Pod:
    """A pod as the agent makes it, and its token as the kubelet mounts it."""

    assignment: Assignment
    name: str
    uid: str
    token: str = field(repr=False)


@dataclass(slots=True)
class World:
    kube: Kube
    api: KubeClient
    namespace: str  # its name
    informer: Informer
    proxy: ApiProxy
    transport: pyqwest.HTTPTransport
    home: Path
    address: str  # of the proxy, without its port

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.proxy.port}"

    @property
    def ca_file(self) -> Path:
        path = self.home / "ca.crt"
        path.write_bytes(self.proxy.authority.certificate)
        return path

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.proxy.authority.certificate.decode())

    def http(self) -> pyqwest.Client:
        """Make an HTTP client as the SDK makes its own."""
        return pyqwest.Client(transport=self.transport)

    def clients(self, token: str) -> Mapping[str, Any]:
        """Return the arguments of a flyteidl2 client that shows a token."""
        return {"http_client": self.http(), "interceptors": [_Showing(token)]}

    @asynccontextmanager
    async def second(self, control_plane: str, *, port: int = 0) -> AsyncIterator["World"]:
        """Open another replica of the proxy."""
        site = _site(self.namespace, control_plane, listen=f"{self.address}:{port}")
        opening = open_proxy(
            site, kube=self.kube, pods=self.informer, clock=SystemClock(), is_fresh=lambda: True
        )
        async with opening as proxy, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(proxy.run())
            await proxy.started.wait()
            yield replace(self, proxy=proxy)
            running.cancel()

    async def pod(
        self,
        run: str = "r1",
        *,
        action: str = "a0",
        base: str = "s3://bucket",
        assignment: Assignment | None = None,
    ) -> Pod:
        """Make a pod, of an assignment if one is given; no kubelet runs it."""
        assignment = assignment or assign(run, action, base)
        name = f"{run}-{action}-{uuid4().hex[:6]}"
        path = f"/api/v1/namespaces/{self.namespace}"
        made = await self.api.create(
            f"{path}/pods",
            {
                "metadata": {
                    "name": name,
                    "labels": label_attempt(assignment),
                    "annotations": annotate_attempt(assignment),
                },
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        )
        uid = made["metadata"]["uid"]
        return Pod(assignment, name, uid, await self.token(name, uid))

    async def token(self, pod: str, uid: str, *, audience: str = TOKEN_AUDIENCE) -> str:
        """Ask for a token as the kubelet does."""
        made = await self.api.create(
            f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token",
            {
                "spec": {
                    "audiences": [audience],
                    "boundObjectRef": {
                        "kind": "Pod",
                        "apiVersion": "v1",
                        "name": pod,
                        "uid": uid,
                    },
                }
            },
        )
        return str(made["status"]["token"])

    async def end(self, pod: Pod, phase: str) -> None:
        """Play the kubelet: the pod has ended; wait until the proxy can know it."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod.name}/status"
        await self.api.patch(path, {"status": {"phase": phase}})

        def is_over() -> bool:
            there = self.informer.get(Name(self.namespace, pod.name))
            return there is not None and there["status"]["phase"] == phase

        await until(is_over)

    async def delete(self, pod: Pod) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod.name}"
        await self.api.delete(path, gracePeriodSeconds="0")
        await until(lambda: self.informer.get(Name(self.namespace, pod.name)) is None)


class _Showing:
    """Shows a token with every call."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary(
        self, call_next: Callable[..., Any], request: Any, ctx: RequestContext[Any, Any]
    ) -> Any:
        ctx.request_headers()["authorization"] = f"Bearer {self._token}"
        return await call_next(request, ctx)

    def intercept_server_stream(
        self, call_next: Callable[..., Any], request: Any, ctx: RequestContext[Any, Any]
    ) -> Any:
        ctx.request_headers()["authorization"] = f"Bearer {self._token}"
        return call_next(request, ctx)


@asynccontextmanager
async def world(
    kube_api: KubeForTests,
    home: Path,
    control_plane: str,
    *,
    s3: S3Options | None = None,
    is_fresh: Callable[[], bool] = lambda: True,
    clock: Clock | None = None,
    address: str = "127.0.0.1",
    credential: Credential | None = None,
    trust: TrustFile | None = None,
) -> AsyncIterator[World]:
    """Open an API proxy for the length of a block, in a namespace of its own."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(kube_api.client())
        namespace = await stack.enter_async_context(api.namespace())
        kube = await stack.enter_async_context(Kube.open(kube_api.kubeconfig()))
        informer = Informer(kube, POD, labels=f"{MANAGED_LABEL}=true", clock=clock)
        site = _site(namespace, control_plane, listen=f"{address}:0", s3=s3)
        site = replace(site, credential=credential or site.credential, trust=trust)
        proxy = await stack.enter_async_context(
            open_proxy(site, kube=kube, pods=informer, clock=clock, is_fresh=is_fresh)
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(informer.run()), tasks.create_task(proxy.run())]
            await informer.synced()
            await proxy.started.wait()
            try:
                async with pyqwest.HTTPTransport(
                    tls_ca_cert=proxy.authority.certificate
                ) as transport:
                    yield World(kube, api, namespace, informer, proxy, transport, home, address)
            finally:
                for task in running:
                    task.cancel()


async def _credential(_: object) -> dict[str, str]:
    return {"authorization": f"Bearer {AGENTS_TOKEN}"}


def _site(namespace: str, control_plane: str, *, listen: str, s3: S3Options | None = None) -> Site:
    return Site(
        listen=listen,
        projects=[listen.rpartition(":")[0], "localhost", "proxy.test"],
        secret=Name(namespace, "volary-agent-proxy"),
        namespaces=namespace,
        control_plane=control_plane,
        trust=None,
        credential=_credential,
        s3=s3,
    )


def assign(run: str, action: str, base: str) -> Assignment:
    run_base = f"{base}/{ORG}/{PROJECT}/{DOMAIN}/{run}"
    return Assignment(
        org=OrgName(ORG),
        key=ActionKey(
            RunKey(ProjectName(PROJECT), DomainName(DOMAIN), RunName(run)), ActionName(action)
        ),
        attempt=AttemptId(ActionId(uuid4()), 1),
        lease=LeaseId(uuid4()),
        parent=None,
        task_type="python",
        task_spec=Digest(b"0" * 32),
        run_spec=Digest(b"1" * 32),
        input_uri=f"{base}/{ORG}/{PROJECT}/{DOMAIN}/inputs/00/inputs.pb",
        run_base=run_base,
        output_prefix=f"{run_base}/{action}/1",
        previous_output_prefix="",
        raw_data_prefix=f"{run_base}/{action}/1/raw",
        run_started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def until(fact: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait for what the API server tells the informer."""
    async with asyncio.timeout(seconds):
        while not fact():  # noqa: ASYNC110 - the informer rings for attempts only
            await asyncio.sleep(0.02)
