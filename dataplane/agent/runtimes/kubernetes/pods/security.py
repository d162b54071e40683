"""
Check which privileges a task's pod requests on its node, and its service account.

PURE. The rules are those of the Pod Security Standard "baseline", checked here as well as by
the API server: a namespace may lack the label, an operator's resource is no pod yet, and the
message names the chart's value that would allow it. Each allowance is an operator's choice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.pod_spec_parsing import object_in, objects_in
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.model.ids import RunKey

CHART = "tasks.security"
"""Path of the fields of ``Security`` in the chart's values."""
ANY = "*"

_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX_TYPES = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_CONTAINERS = ("initContainers", "containers")  # a created pod has no ephemeral ones
_HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"

_RISKS: Mapping[str, str] = {
    "privileged": "which makes the task the owner of its node, of every pod on it and their secrets",
    "host_path": "which gives the task files of its node, among them the kubelet's credentials",
    "host_namespaces": "which shows the task the processes or the network of its node",
    "host_ports": "which lets the task listen at its node's address",
    "probe_hosts": "which has the node send requests to hosts of the task's choice",
    "unconfined": "which takes away what keeps the task from its node's kernel",
    "capabilities": "which is a power over its node that tasks do not have",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Privileges that an operator allows tasks beyond the standard; by default none."""

    privileged: bool = False
    host_path: bool = False
    host_namespaces: bool = False
    host_ports: bool = False
    probe_hosts: bool = False
    unconfined: bool = False  # without seccomp, AppArmor, SELinux; any sysctl or procMount
    capabilities: Sequence[str] = ()  # beyond the standard's; "*": any
    service_accounts: Sequence[str] = ()  # beyond the cluster's own choice; "*": any
    # More for tasks of one project, by "project" or "project/domain".
    projects: Mapping[str, "Security"] = field(default_factory=dict)

    def of(self, run: RunKey) -> "Security":
        """Return what tasks of the run's project and domain may use."""
        found = self
        for scope in (run.project, f"{run.project}/{run.domain}"):
            if more := self.projects.get(scope):
                found = _add(found, more)
        return found

    def level_in(self, project: str = "", domain: str = "") -> str:
        """
        Return the Pod Security level that the API server can enforce in a namespace.

        ``project`` and ``domain``: whose tasks run in it; "" stands for those of any.
        """
        here = [self]
        for scope, more in self.projects.items():
            of_project, _, of_domain = scope.partition("/")
            if project in {"", of_project} and (not domain or of_domain in {"", domain}):
                here.append(more)
        allowed = any(
            getattr(each, risk.name)
            for each in here
            for risk in fields(each)
            if risk.name in _RISKS
        )
        return "privileged" if allowed else "baseline"

    def require_allowed(self, spec: Object, annotations: Mapping[str, str]) -> None:
        """
        Raise BadSpecError, with field and remedy, if the pod spec requests a forbidden
        privilege.
        """
        for power, at, value in _asked(spec, annotations):
            if self._allows(power, value):
                continue
            raise BadSpecError(
                f"{at} is {value!r}, {_RISKS[power]}; leave it out, or have"
                f" {CHART}.{_camel(power)} set in the values of the agent's chart, or the same in"
                f" {CHART}.projects for this project"
            )

    def _allows(self, power: str, value: Any) -> bool:
        if power != "capabilities":
            return bool(getattr(self, power))
        allowed = {_bare(each) for each in self.capabilities}
        return self.privileged or bool({ANY, _bare(value)} & allowed)

    def require_account(self, name: str, usual: str, field: str) -> None:
        """
        Raise BadSpecError if a task may not run as that service account; ``usual`` is always
        allowed.
        """
        if name in {"", usual or "default"} or {ANY, name} & set(self.service_accounts):
            return
        raise BadSpecError(
            f"{field} is {name!r}, as which no task of this cluster may run; leave it out, or have"
            f" the name added to {CHART}.serviceAccounts in the values of the agent's chart"
        )


def _add(one: Security, other: Security) -> Security:
    """Return what either allows."""
    return Security(
        privileged=one.privileged or other.privileged,
        host_path=one.host_path or other.host_path,
        host_namespaces=one.host_namespaces or other.host_namespaces,
        host_ports=one.host_ports or other.host_ports,
        probe_hosts=one.probe_hosts or other.probe_hosts,
        unconfined=one.unconfined or other.unconfined,
        capabilities=(*one.capabilities, *other.capabilities),
        service_accounts=(*one.service_accounts, *other.service_accounts),
    )


def _asked(spec: Object, annotations: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Yield what exceeds the standard: the privilege, the field, and its value."""
    for name in _HOST_NAMESPACES:
        if spec.get(name):
            yield "host_namespaces", f"pod_spec.{name}", spec[name]
    for number, volume in enumerate(objects_in(spec, "volumes")):
        if volume.get("hostPath") is not None:
            yield "host_path", f"pod_spec.volumes[{number}].hostPath", volume["hostPath"]
    yield from _asked_of_context(object_in(spec, "securityContext"), "pod_spec.securityContext")
    for listing in _CONTAINERS:
        for container in objects_in(spec, listing):
            field = f"pod_spec.{listing}[{container.get('name', '')}]"
            yield from _asked_of_container(container, field)
    for key, value in annotations.items():
        confined = value == "runtime/default" or value.startswith("localhost/")
        if key.startswith(_APPARMOR) and value and not confined:
            yield "unconfined", f"the annotation {key}", value


def _asked_of_container(container: Object, field: str) -> Iterator[tuple[str, str, Any]]:
    context, at = object_in(container, "securityContext"), f"{field}.securityContext"
    if context.get("privileged"):
        yield "privileged", f"{at}.privileged", context["privileged"]
    for name in object_in(context, "capabilities").get("add") or ():
        if _bare(name) not in _CAPABILITIES:
            yield "capabilities", f"{at}.capabilities.add", name
    if str(context.get("procMount") or "Default") != "Default":
        yield "unconfined", f"{at}.procMount", context["procMount"]
    yield from _asked_of_context(context, at)
    for number, port in enumerate(objects_in(container, "ports")):
        if port.get("hostPort"):
            yield "host_ports", f"{field}.ports[{number}].hostPort", port["hostPort"]
    lifecycle = object_in(container, "lifecycle")
    handlers = {name: object_in(container, name) for name in _HANDLERS}
    handlers |= {
        f"lifecycle.{name}": object_in(lifecycle, name) for name in ("postStart", "preStop")
    }
    for name, handler in handlers.items():
        for action in ("httpGet", "tcpSocket"):
            if host := object_in(handler, action).get("host"):
                yield "probe_hosts", f"{field}.{name}.{action}.host", host


def _asked_of_context(context: Object, at: str) -> Iterator[tuple[str, str, Any]]:
    """Yield requested privileges of the security context fields that pods and containers share."""
    if object_in(context, "windowsOptions").get("hostProcess"):
        yield "privileged", f"{at}.windowsOptions.hostProcess", True
    for name in ("seccompProfile", "appArmorProfile"):
        kind = str(object_in(context, name).get("type") or "")
        if kind not in {"", "RuntimeDefault", "Localhost"}:
            yield "unconfined", f"{at}.{name}.type", kind
    selinux = object_in(context, "seLinuxOptions")
    if str(selinux.get("type") or "") not in _SELINUX_TYPES:
        yield "unconfined", f"{at}.seLinuxOptions.type", selinux["type"]
    for name in ("user", "role"):
        if selinux.get(name):
            yield "unconfined", f"{at}.seLinuxOptions.{name}", selinux[name]
    for sysctl in objects_in(context, "sysctls"):
        if str(sysctl.get("name")) not in _SYSCTLS:
            yield "unconfined", f"{at}.sysctls", sysctl.get("name")


def _bare(capability: object) -> str:
    """Return SYS_ADMIN for CAP_SYS_ADMIN: container runtimes accept both."""
    return str(capability).removeprefix("CAP_")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
