"""
One node of a cluster: containerd, kubelet and proxy, in namespaces of their own.

The node sees the machine's files and processes' cgroups, and nothing else of it: its mounts,
network and process ids are its own, so that killing its first process ends every container,
unmounts everything and leaves no interface or firewall rule behind. A veth pair joins it to
the machine: pods reach servers of a test at ``Network.machine``, and tests reach pods.

Linux, root, and Debian's containerd, runc, containernetworking-plugins and iptables.
"""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.kube import binary, cgroups, images, names
from tests.kube.binary import NoKubernetesError
from tests.kube.controlplane import KubeForTests, write_kubeconfig
from tests.programs import Program

NAME = "node-1"
_PLUGINS = Path("/usr/lib/cni")
_NEEDED = ("containerd", "ctr", "runc", "iptables", "ip", "nsenter", "setpriv", "unshare")
_UP_WITHIN_SECONDS = 60.0
# What a node writes outside its directory it writes to memory of its own.
_PRIVATE_PLACES = ("/run", "/var/lib", "/var/log")
# The kubelet sets these, and they are the whole machine's: it may set copies.
_KERNEL_SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
# Who asks for a name, a registry's say, is refused at once.
_NO_NAMES = "nameserver 127.0.0.1\n"
# Reaps those whose parents are gone, as the first process has to.
_FIRST_PROCESS = "trap exit TERM; sleep infinity & wait"


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses of one node: nothing on this machine has them but it."""

    number: int

    @property
    def machine(self) -> str:
        """Where the node and its pods reach the machine that runs the tests."""
        return f"10.200.{self.number}.1"

    @property
    def node(self) -> str:
        return f"10.200.{self.number}.2"

    @property
    def pods(self) -> str:
        return f"10.201.{self.number}.0/24"


def missing() -> str:
    """Say what this machine lacks for a node; nothing if nothing."""
    if os.geteuid() != 0:
        return "a node needs root"
    lacking = [name for name in _NEEDED if shutil.which(name) is None]
    if not (_PLUGINS / "bridge").exists():
        lacking.append("containernetworking-plugins")
    if lacking:
        return f"a node needs {', '.join(lacking)}: run make kube-packages"
    return ""


class Place:
    """The namespaces of a node, while their first process lives."""

    def __init__(self, home: Path, network: Network) -> None:
        self.network = network
        self.cgroup = f"volary-tests-{secrets.token_hex(4)}"
        self.containerd_socket = home / "containerd" / "sock"
        self._home = home
        self._first = Program(
            "first-process",
            [
                *("setpriv", "--pdeathsig", "KILL"),  # nothing outlives tests that were killed
                *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("--propagation", "private", "bash", "-c", _FIRST_PROCESS),
            ],
            logs=home,
            wrapped=True,
        )

    @contextmanager
    def made(self) -> Iterator["Place"]:
        # The groups can go once nobody is in them.
        with cgroups.made(self.cgroup), self._first.running():
            try:
                self._first.wait_until(
                    lambda: [one.name() for one in self._inside()] == ["bash"],
                    "it has namespaces",
                    within=_UP_WITHIN_SECONDS,
                )
                self._join_networks()
                self._make_private()
                yield self
            finally:
                self.end()

    def end(self) -> None:
        """Kill the first process, and with it every other; it may be over already."""
        self._first.kill()

    def command(self, *command: str | Path) -> list[str | Path]:
        """Spell a command as it is run inside."""
        inside = str(self._inside()[0].pid)
        return ["nsenter", "--target", inside, "--mount", "--net", "--pid", "--", *command]

    def run(self, *command: str | Path) -> str:
        return _run(*self.command(*command))

    def containers(self) -> list[str]:
        """List the containers that run inside, those that hold a pod's namespaces included."""
        return self.ctr("containers", "list", "-q").split()

    def ctr(self, *command: str | Path) -> str:
        return self.run("ctr", "-a", self.containerd_socket, "-n", "k8s.io", *command)

    def program(self, name: str, *command: str | Path) -> Program:
        return Program(name, self.command(*command), logs=self._home, wrapped=True)

    def _inside(self) -> list[psutil.Process]:
        return psutil.Process(self._first.pid).children()

    def _join_networks(self) -> None:
        link, network = f"volary{self.network.number}", self.network
        inside = str(self._inside()[0].pid)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", inside)
        _run("ip", "address", "add", f"{network.machine}/30", "dev", link)
        _run("ip", "link", "set", link, "up")
        _run("ip", "route", "add", network.pods, "via", network.node)
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{network.node}/30", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", network.machine)
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")  # of this namespace only

    def _make_private(self) -> None:
        self.run("mount", "--make-rshared", "/")  # among what is inside; pods' mounts ask for it
        for place in _PRIVATE_PLACES:
            self.run("mount", "-t", "tmpfs", "tmpfs", place)
        for setting in _KERNEL_SETTINGS:
            original = Path("/proc/sys", setting)
            self._put_over(original, original.read_text())
        self._put_over(Path("/etc/resolv.conf"), _NO_NAMES)

    def _put_over(self, file: Path, text: str) -> None:
        copy = self._home / file.name
        copy.write_text(text)
        self.run("mount", "--bind", copy, file)


@contextmanager
def running(kube: KubeForTests, place: Place, home: Path) -> Iterator[Program]:
    """Run a node of ``kube`` for the length of a block; its kubelet is given, to be mistreated."""
    socket = place.containerd_socket
    socket.parent.mkdir()
    config = _containerd_config(socket, place.network)
    containerd = place.program("containerd", "containerd", "--config", config)
    with ExitStack() as stack:
        stack.enter_context(containerd.running())
        containerd.wait_until(socket.exists, "it listens", within=_UP_WITHIN_SECONDS)
        for write in (images.write_pause_image, images.write_task_image):
            image = home / "image.tar"
            write(image)
            place.ctr("image", "import", image)
            image.unlink()
        kubelet = place.program("kubelet", *_kubelet_command(kube, home, place))
        proxy = place.program("kube-proxy", *_proxy_command(kube, place.network))
        stack.enter_context(kubelet.running())
        stack.enter_context(proxy.running())
        stack.callback(place.end)  # before anybody waits for what runs inside
        kubelet.wait_until(lambda: _is_ready(kube), "the node is ready", within=_UP_WITHIN_SECONDS)
        yield kubelet


def _containerd_config(socket: Path, network: Network) -> Path:
    home = socket.parent
    networks = home / "networks"
    networks.mkdir()
    (networks / "10-bridge.conflist").write_text(
        json.dumps(
            {
                "cniVersion": "1.0.0",
                "name": "pods",
                "plugins": [
                    {
                        "type": "bridge",
                        "bridge": "pods0",
                        "isGateway": True,
                        "ipMasq": False,  # the machine has a route back
                        "hairpinMode": True,
                        "ipam": {
                            "type": "host-local",
                            "ranges": [[{"subnet": network.pods}]],
                            "routes": [{"dst": "0.0.0.0/0"}],
                        },
                    },
                    {"type": "portmap", "capabilities": {"portMappings": True}},
                ],
            }
        )
    )
    config = home / "config.toml"
    config.write_text(
        f"""
version = 2
root = "{home}/root"
state = "{home}/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE_IMAGE}"
  restrict_oom_score_adj = true  # root may lack CAP_SYS_RESOURCE
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_PLUGINS}"
    conf_dir = "{networks}"
"""
    )
    return config


def _kubelet_command(kube: KubeForTests, home: Path, place: Place) -> Sequence[str | Path]:
    address = place.network.node
    serving = kube.authority.issue("kubelet-serving", reached_at=[address, NAME])
    user = kube.authority.issue(f"system:node:{NAME}", groups=["system:nodes"])
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(kube.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{place.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # root may lack CAP_SYS_RESOURCE
        "makeIPTablesUtilChains": False,
        "clusterDNS": [place.network.machine],
        "clusterDomain": names.DOMAIN,
        "resolvConf": "",  # no names but the cluster's
        "nodeLeaseDurationSeconds": 8,  # renewed every two
        "volumeStatsAggPeriod": "2s",  # who fills a volume is evicted in seconds
        "volumePluginDir": str(home / "volume-plugins"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }
    path = home / "kubelet.json"
    path.write_text(json.dumps(config))
    return [
        binary.find(),
        "kubelet",
        f"--config={path}",
        f"--kubeconfig={write_kubeconfig(kube.address, kube.authority, user)}",
        f"--root-dir={home / 'kubelet'}",
        f"--hostname-override={NAME}",
        f"--node-ip={address}",
        "--v=2",
    ]


def _proxy_command(kube: KubeForTests, network: Network) -> Sequence[str | Path]:
    user = kube.authority.issue("system:kube-proxy")
    return [
        binary.find(),
        "kube-proxy",
        f"--kubeconfig={write_kubeconfig(kube.address, kube.authority, user)}",
        f"--hostname-override={NAME}",
        f"--cluster-cidr={network.pods}",
        "--proxy-mode=iptables",
        "--oom-score-adj=0",
        # The machine's connection tracking is not ours to set.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def _is_ready(kube: KubeForTests) -> bool:
    ready = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    return kube.kubectl("get", "nodes", "-o", ready) == "True"


def free_network() -> Network:
    """Find addresses that no other node on this machine has."""
    output = _run("ip", "-j", "-4", "address")
    taken = {
        address["local"] for link in json.loads(output) for address in link.get("addr_info", ())
    }
    for number in range(secrets.randbelow(200), 256):
        if Network(number).machine not in taken:
            return Network(number)
    raise NoKubernetesError("no addresses are left in 10.200.0.0/16: stop a node")


def _run(*command: str | Path) -> str:
    """Run a short command; its own words are in the error when it fails."""
    done = subprocess.run(  # noqa: S603 -- our own arguments
        command, capture_output=True, text=True, check=False, timeout=_UP_WITHIN_SECONDS * 4
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout
