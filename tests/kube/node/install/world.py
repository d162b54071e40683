"""
Both charts on one cluster, as docs/install.md tells people to install them.

Images are those of the Containerfile, by the names that the charts' defaults come to; the
front is the example's. Postgres and the bucket are outside. Values say where things are, and
for how small a node; nothing else of the charts is changed.
"""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from shared.blobs.options import S3Options
from tests.integration.charts.values import put
from tests.kube import binary
from tests.kube.certificates import Authority
from tests.kube.client import Json, KubeClient, KubeError, wait_until
from tests.kube.node.install.database import DatabaseForPods
from tests.programs import Program
from tests.servers.helm import CHARTS, Helm
from tests.servers.kubernetes import NodeForTests
from tests.servers.seaweed import S3ForTests
from tests.system.api_client import ApiClient
from tests.system.commands import DOMAIN, PROJECT, Flyte

PLANE = "volary-plane"
AGENTS = "volary-agents"
TASKS = f"volary-tasks-{PROJECT}-{DOMAIN}"
AGENT, CONTROL_PLANE = "volary-agent", "volary-controlplane"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{AGENTS}/leases/{AGENT}"
_PLANE_HOST = f"{CONTROL_PLANE}.{PLANE}.svc"
_EXAMPLES = CHARTS / CONTROL_PLANE / "examples"
_FORWARDS = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}}
_READY_WITHIN = 180.0


@dataclass(slots=True, kw_only=True)
class Installation:
    """Machine of the platform engineer who installs the charts."""

    home: Path
    node: NodeForTests
    helm: Helm
    s3: S3ForTests
    database: DatabaseForPods
    authority: Authority
    cluster_token: str = field(default_factory=secrets.token_hex, repr=False)
    callers_key: str = field(default_factory=secrets.token_hex, repr=False)
    _forwarded: int = 0

    @property
    def machine(self) -> str:
        return self.node.place.network.machine

    # What the page says to do.

    async def install_control_plane(self, kube: KubeClient) -> str:
        await make_namespace(kube, PLANE)
        options = self.s3.options
        shows = self.authority.issue(
            "front", reached_at=[_PLANE_HOST, self.node.place.network.node]
        )
        for name, entries in {
            "volary-database": {"url": self.database.url, "owner-url": self.database.owner_url},
            "volary-keys": {
                "blob-signing-key": secrets.token_hex(),
                "cluster-token": self.cluster_token,
            },
            "volary-bucket": {
                "access-key": options.access_key,
                "secret-key": options.secret_key.reveal(),
            },
            "volary-tls": {
                "tls.crt": shows.certificate.read_text(),
                "tls.key": shows.key.read_text(),
            },
            "volary-callers": {
                "callers": f'"Bearer {self.callers_key}" ada;\n"Bearer {self.cluster_token}" local;\n'
            },
        }.items():
            await make_secret(kube, PLANE, name, entries)
        await make_map(
            kube, PLANE, "volary-front", {"front.conf": (_EXAMPLES / "front.conf").read_text()}
        )
        return await asyncio.to_thread(
            self.run_helm, "install", CONTROL_PLANE, PLANE, self.control_plane_values()
        )

    async def install_agent(self, kube: KubeClient) -> str:
        await self.prepare_agent(kube, AGENTS, token=self.cluster_token)
        await make_namespace(kube, TASKS, of_tasks=True)
        await make_secret(kube, TASKS, "bucket", bucket_entries(self.s3.options))
        await make_secret(kube, TASKS, "examples", {"greeting": "Hi"})
        return await asyncio.to_thread(self.run_helm, "install", AGENT, AGENTS, self.agent_values())

    async def prepare_agent(self, kube: KubeClient, namespace: str, *, token: str) -> None:
        """Make what the chart expects to find."""
        await make_namespace(kube, namespace)
        await make_secret(kube, namespace, "bucket", bucket_entries(self.s3.options))
        await make_secret(kube, namespace, "volary-token", {"token": token})
        authority = self.authority.certificate.read_text()
        await make_map(kube, namespace, "authority", {"ca.crt": authority})

    def control_plane_values(self) -> Json:
        example = yaml.safe_load((_EXAMPLES / "values.yaml").read_text())
        options = self.s3.options
        return put(
            example,
            blobs={
                "base": "s3://tests/volary",
                "s3": {
                    "endpoint": options.endpoint,
                    "region": options.region,
                    "existingSecret": "volary-bucket",
                },
            },
            service__type="NodePort",
            resources=SMALL,
            extraEnv=[{"name": "VOLARY_S3_ALLOW_HTTP", "value": "true"}],
        )

    def agent_values(self) -> Json:
        return {
            "controlPlane": {
                "link": f"{_PLANE_HOST}:8101",
                "api": f"{_PLANE_HOST}:443",
                "certificateAuthority": {"existingConfigMap": "authority"},
            },
            "token": {"existingSecret": "volary-token"},
            "namespaces": {"template": "volary-tasks-{project}-{domain}"},
            "tasks": {"environmentSecret": "bucket"},
            "storage": {"existingSecret": "bucket"},
            "resources": SMALL,
        }

    def run_helm(self, verb: str, chart: str, namespace: str, values: Json | None = None) -> str:
        """Install or upgrade the release ``volary``; HelmError with helm's words."""
        where = f"--namespace={namespace}"
        return self.helm.run(verb, "volary", CHARTS / chart, where, values=values)

    async def uninstall(self, kube: KubeClient) -> None:
        for namespace in (AGENTS, PLANE):
            await asyncio.to_thread(
                self.helm.run, "uninstall", "volary", f"--namespace={namespace}"
            )
        for namespace in (TASKS, AGENTS, PLANE):
            await kube.delete(f"/api/v1/namespaces/{namespace}")

    # What is there then.

    async def wait_until_ready(self, kube: KubeClient) -> None:
        for namespace, name in ((PLANE, CONTROL_PLANE), (AGENTS, AGENT)):

            async def is_ready(
                path: str = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
            ) -> bool:
                found = await kube.get(path)
                status = found["status"]
                desired = found["spec"]["replicas"]
                counts = ("replicas", "readyReplicas", "updatedReplicas")
                return status.get("observedGeneration") == found["metadata"]["generation"] and all(
                    status.get(count) == desired for count in counts
                )

            try:
                await wait_until(is_ready, f"{name} is ready", within=_READY_WITHIN)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{await self.output(kube)}") from None

    async def pods(self, kube: KubeClient, namespace: str, component: str) -> list[Json]:
        """The pods of a release that are not about to go."""
        found = await kube.list(
            f"/api/v1/namespaces/{namespace}/pods",
            labelSelector=f"app.kubernetes.io/component={component}",
        )
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def doctor(self, pod: str) -> str:
        """Run it in the agent's pod; AssertionError with its words if something fails."""
        return self.node.kube.kubectl("exec", "-n", AGENTS, pod, "--", "volary-agent", "doctor")

    def flyte(self, place: Path) -> Flyte:
        """Be Ada, outside of the cluster, with a key of hers and the unmodified SDK."""
        port = self.node.kube.kubectl(
            *("get", "service", "-n", PLANE, CONTROL_PLANE),
            *("-o", "jsonpath={.spec.ports[?(@.name=='http')].nodePort}"),
        )
        endpoint = f"{self.node.place.network.node}:{port}"
        key = self.home / "key"
        key.write_text(self.callers_key)
        config = {
            "admin": {
                "endpoint": f"dns:///{endpoint}",
                "authType": "ExternalCommand",
                "command": ["cat", str(key)],
                "caCertFilePath": str(self.authority.certificate),
            },
            "task": {"project": PROJECT, "domain": DOMAIN},
        }
        flyte = Flyte(_At(endpoint), self.home / "ada", place=place)
        (flyte.home / ".flyte" / "config.yaml").write_text(yaml.safe_dump(config))
        return flyte

    @contextmanager
    def client(self) -> Iterator[ApiClient]:
        """Connect as a person who may forward ports of the control plane's pods."""
        self._forwarded += 1
        command: list[str | Path] = [
            *(binary.find(), "kubectl", f"--kubeconfig={self.node.kube.kubeconfig()}"),
            *("--namespace", PLANE, "port-forward", f"deploy/{CONTROL_PLANE}", ":8100"),
        ]
        forward = Program(f"forward-{self._forwarded}", command, logs=self.home)
        with forward.running():
            forward.wait_until(
                lambda: bool(_FORWARDS.search(forward.last_words())), "it forwards", within=30
            )
            found = _FORWARDS.search(forward.last_words())
            assert found
            yield ApiClient(f"http://127.0.0.1:{found[1]}")

    async def output(self, kube: KubeClient) -> str:
        """Return the logs of all pods, for a test that failed."""
        words = []
        for namespace in (PLANE, AGENTS, TASKS):
            words.append(f"== events of {namespace}\n{await events(kube, namespace)}")
            for pod in await kube.list(f"/api/v1/namespaces/{namespace}/pods"):
                name = pod["metadata"]["name"]
                words.append(f"== {name} {json.dumps(pod['status'])}")
                for container in pod["spec"]["containers"]:
                    log = await log_of(kube, namespace, name, container["name"])
                    words.append(f"-- {container['name']}\n{log[-6000:]}")
        return "\n".join(words)


def bucket_entries(options: S3Options) -> dict[str, str]:
    """Return the entries of a Secret with which agents and tasks use a bucket."""
    return {
        "AWS_ENDPOINT_URL": options.endpoint,
        "AWS_REGION": options.region,
        "AWS_ACCESS_KEY_ID": options.access_key,
        "AWS_SECRET_ACCESS_KEY": options.secret_key.reveal(),
        "AWS_ALLOW_HTTP": "true",
        "FLYTE_AWS_ENDPOINT": options.endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": options.access_key,
        "FLYTE_AWS_SECRET_ACCESS_KEY": options.secret_key.reveal(),
    }


@dataclass(frozen=True, slots=True)
class _At:
    endpoint: str


async def log_of(kube: KubeClient, namespace: str, pod: str, container: str, **query: str) -> str:
    """Read a log, or why there is none."""
    try:
        return await kube.log(
            f"/api/v1/namespaces/{namespace}/pods/{pod}", container=container, **query
        )
    except KubeError as error:
        return str(error)


async def events(kube: KubeClient, namespace: str) -> str:
    """Return the events of everything in a namespace, as ``kubectl describe`` ends with them."""
    found = await kube.list(f"/api/v1/namespaces/{namespace}/events")
    return "\n".join(
        f"{each['involvedObject']['name']}: {each['reason']}: {each['message']}" for each in found
    )


async def make_secret(
    kube: KubeClient, namespace: str, name: str, entries: Mapping[str, str]
) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    await kube.create(
        f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}, "data": data}
    )


async def make_map(kube: KubeClient, namespace: str, name: str, entries: Mapping[str, str]) -> None:
    body = {"metadata": {"name": name}, "data": dict(entries)}
    await kube.create(f"/api/v1/namespaces/{namespace}/configmaps", body)


async def make_namespace(kube: KubeClient, name: str, *, of_tasks: bool = False) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    if of_tasks:
        labels = {
            "volary.dev/managed": "true",
            "pod-security.kubernetes.io/enforce": "baseline",
            "pod-security.kubernetes.io/enforce-version": "v1.33",
        }
    await kube.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
