"""
Everything that a customer has: control plane, agents in a cluster, a bucket; as processes.

The agents run beside the node, with a kubeconfig of their own account; pods reach their
API, link and bucket at the machine's address. All else is as in a real installation.
"""

import base64
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.integration.replicas.world import Replica
from tests.ports import free_ports
from tests.programs import Program
from tests.servers.kubernetes import NodeForTests
from tests.servers.postgres import DatabaseForTest
from tests.servers.seaweed import S3ForTests

ROOT = Path(__file__).parents[4]
CRDS = ROOT / "infra" / "helm" / "volary-agent" / "crds"
NAMESPACE = "volary"
TASKS = "flytesnacks-development"
BUCKET_SECRET = "bucket"  # noqa: S105 -- its name
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_TOKEN = secrets.token_hex(16)


def label_namespace(name: str) -> dict[str, Any]:
    """Return the metadata of a namespace; what the page on installing says of those of tasks."""
    return {"name": name, "labels": {"volary.dev/managed": "true"} if name == TASKS else {}}


class World:
    def __init__(
        self, home: Path, node: NodeForTests, s3: S3ForTests, database: DatabaseForTest
    ) -> None:
        self.home = home
        self.node = node
        self._s3 = s3
        self._database = database
        self.base = s3.new_base()
        self.control = self._control_plane()
        self.agents: list[Program] = []
        home.mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        """Where the SDK finds the control plane."""
        return f"localhost:{self.control.http_port}"

    def start_agent(self, *options: str) -> Program:
        """Start one more replica of the agent; the first to hold the Lease works."""
        number = len(self.agents)
        token = self.home / "token"
        token.write_text(_TOKEN)
        machine = self.node.place.network.machine
        [port] = free_ports(1, host=machine)
        client = f"{machine}:{port}"
        command = [
            *(sys.executable, "-m", "dataplane.agent", "run", "--runtime", "kubernetes"),
            *("--token-file", str(token), "--control-plane", self.control.link),
            *("--kubeconfig", str(self.node.kube.kubeconfig()), "--namespace", NAMESPACE),
            *("--public-endpoint", f"127.0.0.1:{self.control.http_port}"),
            *("--identity", f"agent-{number}", "--proxy-listen", client, "--proxy-address", client),
            *("--copilot-image", "volary.test/task:1", "--env-from-secret", BUCKET_SECRET),
            *("--log-level", "debug", *options),
        ]
        environment = {**_context(self.home), **self._aws()}
        agent = Program(f"agent-{number}", command, logs=self.home, environment=environment)
        agent.start()
        self.agents.append(agent)
        return agent

    async def prepare(self) -> None:
        """Do what the page on installing tells a platform engineer to do."""
        async with self.node.kube.client() as kube:
            for crd in CRDS.glob("*.yaml"):
                definition = yaml.safe_load(crd.read_text())
                if not await kube.exists(f"{_CRDS}/{definition['metadata']['name']}"):
                    await kube.create(_CRDS, definition)  # other tests of the node want it too
            for namespace in (NAMESPACE, TASKS):
                await kube.create("/api/v1/namespaces", {"metadata": label_namespace(namespace)})
            secrets_of_tasks = f"/api/v1/namespaces/{TASKS}/secrets"
            await kube.create(secrets_of_tasks, _secret(BUCKET_SECRET, self._for_tasks()))
            await kube.create(secrets_of_tasks, _secret("examples", {"greeting": "Hi"}))

    def end(self) -> None:
        for program in [*self.agents, self.control.program]:
            if program.is_running:
                program.end(signal.SIGTERM)

    def output(self) -> str:
        """Everything that everybody said, for a test that failed."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-12000:]}"
            for path in sorted(self.home.glob("*.log"))
        )

    def _control_plane(self) -> Replica:
        http_port, link_port = free_ports(2)
        options = self._s3.options
        environment = {
            **_context(self.home),
            "VOLARY_DATABASE_URL": self._database.url,
            "VOLARY_BLOB_BASE": self.base,
            "VOLARY_BLOB_SIGNING_KEY": secrets.token_hex(16),
            "VOLARY_S3_ENDPOINT": options.endpoint,
            "VOLARY_S3_REGION": options.region,
            "VOLARY_S3_ACCESS_KEY": options.access_key,
            "VOLARY_S3_SECRET_KEY": options.secret_key.reveal(),
            "VOLARY_S3_ALLOW_HTTP": "true",
            "VOLARY_CLUSTER_TOKEN": _TOKEN,
            "VOLARY_HTTP_PORT": str(http_port),
            "VOLARY_LINK_PORT": str(link_port),
            "VOLARY_LOG_LEVEL": "debug",
        }
        command = [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"]
        program = Program("control-plane", command, logs=self.home, environment=environment)
        return Replica(program, http_port, link_port)

    def _aws(self) -> dict[str, str]:
        options = self._s3.options
        return {
            "AWS_ENDPOINT_URL": options.endpoint,
            "AWS_REGION": options.region,
            "AWS_ACCESS_KEY_ID": options.access_key,
            "AWS_SECRET_ACCESS_KEY": options.secret_key.reveal(),
            "AWS_ALLOW_HTTP": "true",
        }

    def _for_tasks(self) -> dict[str, str]:
        options = self._s3.options
        return {
            **self._aws(),
            "FLYTE_AWS_ENDPOINT": options.endpoint,
            "FLYTE_AWS_ACCESS_KEY_ID": options.access_key,
            "FLYTE_AWS_SECRET_ACCESS_KEY": options.secret_key.reveal(),
        }


@contextmanager
def running(world: World) -> Iterator[World]:
    """Have the control plane up for the length of a block; agents are started by the test."""
    try:
        world.control.start()
        world.control.wait_until_ready()
        yield world
    finally:
        world.end()


def _secret(name: str, entries: Mapping[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    return {"metadata": {"name": name}, "data": data}


def _context(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "DO_NOT_TRACK": "1"}
