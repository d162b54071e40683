"""
Kubernetes' control plane on free ports: etcd, API server, controllers, and a scheduler.

Without a node its controllers are those that look after objects alone, so that a test may
play the kubelet, and no controller finds its nodes wanting. With one, all of them run.
"""

import json
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx

from tests.kube import binary
from tests.kube.certificates import Authority, Identity
from tests.kube.client import KubeClient
from tests.ports import free_ports
from tests.programs import Program

SERVICE_ADDRESSES = "10.96.0.0/16"
_ITS_OWN_SERVICE = "10.96.0.1"  # the first of them: how pods reach the API server
_NOWHERE = "203.0.113.1"  # loopback may not be advertised, and without nodes nobody asks
_KUBECTL_SECONDS = 60.0
_READY_WITHIN_SECONDS = 60.0
# A node that is not heard of is found wanting in seconds; Kubernetes' own defaults are minutes.
_LOST_NODES = {
    "kube-apiserver": [
        "--default-not-ready-toleration-seconds=5",
        "--default-unreachable-toleration-seconds=5",
    ],
    "kube-controller-manager": ["--node-monitor-grace-period=12s", "--node-monitor-period=1s"],
}
_CONTROLLERS_OF_OBJECTS = (
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
)


@dataclass(frozen=True, slots=True)
class KubeForTests:
    """A running cluster: its address, credentials, and programs, which tests may kill."""

    address: str
    authority: Authority
    admin: Identity
    home: Path
    etcd_address: str
    etcd: Program
    api_server: Program
    controllers: Program

    def client(self, user: str | None = None, *, groups: Sequence[str] = ()) -> KubeClient:
        """Enter as the administrator, or as whom the administrator impersonates."""
        return KubeClient(self.address, self._trust(self.admin), user=user, groups=groups)

    def client_with(self, token: str) -> KubeClient:
        """Enter with a service account's token."""
        return KubeClient(self.address, self._trust(None), token=token)

    def trust(self) -> ssl.SSLContext:
        """Return the administrator's TLS context (client certificate and CA), for another client."""
        return self._trust(self.admin)

    def kubeconfig(self, user: str = "kubernetes-admin", groups: Sequence[str] = ()) -> Path:
        """Write a file for programs that want one; the default user may do everything."""
        identity = self.admin if not groups else self.authority.issue(user, groups=groups)
        return write_kubeconfig(self.address, self.authority, identity)

    def kubectl(self, *arguments: str | Path) -> str:
        """Run kubectl as the administrator, for what is more than a request, and give its words."""
        done = subprocess.run(  # noqa: S603 -- our own arguments
            [
                *(binary.find(), "kubectl", f"--kubeconfig={self.kubeconfig()}"),
                *(f"--cache-dir={self.home / 'kubectl'}", *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_KUBECTL_SECONDS,
        )
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}"
        return done.stdout

    def restart_api_server(self) -> None:
        """Kill it and start it again; connections break, and objects stay."""
        self.api_server.kill()
        self.api_server.start()
        self.wait_until_ready()

    def forget_the_past(self) -> None:
        """Expire older watches and list continuations: both get 410 Gone."""
        with httpx.Client(base_url=self.etcd_address, trust_env=False) as etcd:
            status = etcd.post("/v3/maintenance/status", json={}).raise_for_status().json()
            until = {"revision": status["header"]["revision"], "physical": True}
            etcd.post("/v3/kv/compaction", json=until).raise_for_status()
        self.restart_api_server()  # for it remembers more than etcd does

    def wait_until_ready(self) -> None:
        with httpx.Client(
            base_url=self.address, verify=self._trust(self.admin), trust_env=False
        ) as asking:

            def is_ready() -> bool:
                try:
                    return asking.get("/readyz").is_success
                except httpx.TransportError:
                    return False  # it does not listen yet

            self.api_server.wait_until(is_ready, "it is ready", within=_READY_WITHIN_SECONDS)

    def _trust(self, identity: Identity | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return context


@contextmanager
def running(
    home: Path, *, at: str = "127.0.0.1", with_nodes: bool = False
) -> Iterator[KubeForTests]:
    """Run it for the length of a block; logs and keys stay in ``home``. It listens ``at``."""
    programs = binary.find()
    logs = home / "logs"
    logs.mkdir(parents=True)
    authority = Authority(home / "keys")
    admin = authority.issue("kubernetes-admin", groups=["system:masters"])
    etcd_port, peer_port, port = free_ports(3)
    etcd_address, address = f"http://127.0.0.1:{etcd_port}", f"https://{at}:{port}"

    def program(name: str, *flags: str) -> Program:
        return Program(name, [programs, name, *flags, *_LOST_NODES.get(name, ())], logs=logs)

    def as_client(user: str) -> str:
        return f"--kubeconfig={write_kubeconfig(address, authority, authority.issue(user))}"

    etcd = program("etcd", *_etcd_flags(home / "etcd", etcd_address, peer_port))
    accounts_key = authority.key("service-accounts")
    api_server = program(
        "kube-apiserver",
        f"--etcd-servers={etcd_address}",
        *_api_server_flags(authority, at, port, accounts_key),
    )
    desired = ["*"] if with_nodes else _CONTROLLERS_OF_OBJECTS
    controllers = program(
        "kube-controller-manager",
        as_client("system:kube-controller-manager"),
        f"--controllers={','.join(desired)}",
        f"--root-ca-file={authority.certificate}",
        f"--service-account-private-key-file={accounts_key}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--secure-port=0",
    )
    scheduler = program(
        "kube-scheduler",
        as_client("system:kube-scheduler"),
        "--leader-elect=false",
        "--secure-port=0",
    )
    kube = KubeForTests(
        address=address,
        authority=authority,
        admin=admin,
        home=home,
        etcd_address=etcd_address,
        etcd=etcd,
        api_server=api_server,
        controllers=controllers,
    )
    with ExitStack() as running_programs:
        running_programs.enter_context(etcd.running())
        running_programs.enter_context(api_server.running())
        kube.wait_until_ready()
        running_programs.enter_context(controllers.running())
        if with_nodes:
            running_programs.enter_context(scheduler.running())
        yield kube


def write_kubeconfig(address: str, authority: Authority, identity: Identity) -> Path:
    path = identity.certificate.with_suffix(".kubeconfig")
    cluster = {"server": address, "certificate-authority": str(authority.certificate)}
    user = {
        "client-certificate": str(identity.certificate),
        "client-key": str(identity.key),
    }
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "tests", "cluster": cluster}],
                "users": [{"name": "tests", "user": user}],
                "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
                "current-context": "tests",
            }
        )
    )
    return path


def _etcd_flags(data: Path, address: str, peer_port: int) -> list[str]:
    peers = f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={address}",
        f"--advertise-client-urls={address}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",  # it dies with the test
        "--log-level=warn",
    ]


def _api_server_flags(authority: Authority, at: str, port: int, accounts_key: Path) -> list[str]:
    serving = authority.issue(
        "kube-apiserver",
        reached_at=[
            at,
            "127.0.0.1",
            _ITS_OWN_SERVICE,
            "localhost",
            "kubernetes.default.svc",
        ],
    )
    to_kubelets = authority.issue("kube-apiserver-kubelet-client", groups=["system:masters"])
    return [
        f"--bind-address={at}",
        f"--advertise-address={_NOWHERE if ip_address(at).is_loopback else at}",
        f"--secure-port={port}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={authority.certificate}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICE_ADDRESSES}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={accounts_key}",
        f"--service-account-key-file={accounts_key}",
        f"--kubelet-certificate-authority={authority.certificate}",
        f"--kubelet-client-certificate={to_kubelets.certificate}",
        f"--kubelet-client-key={to_kubelets.key}",
        "--kubelet-preferred-address-types=InternalIP",
    ]
