"""
Settings of the agent, read once from options and environment variables.

Only ``main``, ``doctor`` and ``cli`` see a Settings; other packages get single values from them,
or declare a group of their own that is a field here. The options of ``volary-agent`` and
``docs/settings.md`` are made of the declarations.
"""

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from pathlib import Path

from dataplane.agent.kube.objects import Name
from dataplane.agent.link.channel import is_loopback
from dataplane.agent.link.enrolment_settings import EnrolmentSettings
from dataplane.agent.runtimes.connectors.client import ConnectorSettingError, Endpoint
from dataplane.agent.runtimes.connectors.endpoints import parse_endpoint
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.pods import Choices, ChoicesError, parse_choices
from dataplane.agent.secret_managers.choice import CHOICES, ManagerSettings
from dataplane.agent.telemetry_settings import LogSettings, TraceSettings
from shared.kit.settings import (
    Kind,
    chosen,
    find_unknown,
    kinds,
    setting,
    settings,
    variables_of,
)
from shared.kit.settings.paths import directory, path

PREFIX = "VOLARY_AGENT_"

PROXY_SERVICE_NAME = "volary-agent-proxy"
"""Name that the chart gives the in-cluster API proxy's Service."""

TASK_NAMESPACE = "VOLARY_AGENT_TASK_NAMESPACE"
"""An option of the doctor alone."""

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_YEAR_SECONDS = 366 * 86_400
_NAME = kinds.text(253, metavar="NAME")

_log = logging.getLogger(__name__)


def _parse_endpoint(text: str) -> Endpoint:
    try:
        return parse_endpoint(text)
    except ConnectorSettingError as error:
        raise ValueError(str(error)) from error


def _parse_pods(text: str) -> Choices:
    try:
        return parse_choices(text)
    except ChoicesError as error:
        raise ValueError(str(error)) from error


def _parse_template(text: str) -> str:
    try:
        text.format(org="o", project="p", domain="d")
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError("it contains another brace") from error
    return text


def _find_namespace() -> str:
    try:
        return _OWN_NAMESPACE.read_text().strip()
    except OSError as error:
        raise ValueError("this is no pod, whose namespace would be used") from error


_CONNECTOR = Kind(
    accepts="a connector's address: host:port, or grpcs://host:port for TLS",
    parse=_parse_endpoint,
    metavar="ADDRESS",
)


@settings(
    "Process runtime",
    "Tasks run as processes of the agent's machine.",
    only_with="--runtime process",
)
class ProcessSettings:
    data_dir: Path = setting(
        "VOLARY_AGENT_DATA_DIR",
        directory(),
        "The agent's ledger and its attempts' directories. One agent at a time.",
    )
    warm: bool = setting(
        "VOLARY_AGENT_WARM",
        kinds.boolean(),
        "Fork tasks from a process with the SDK loaded.",
        default=True,
        off_option="--cold",
    )
    stop_attempts: bool = setting(
        "VOLARY_AGENT_STOP_ATTEMPTS",
        kinds.boolean(),
        "When this agent stops, abort its attempts, or leave them to be adopted.",
        default=False,
        off_option="--leave-attempts",
    )


@settings("Kubernetes runtime", "Tasks run as pods of a cluster.", only_with="--runtime kubernetes")
class KubernetesSettings:
    kubeconfig: Path | None = setting(
        "VOLARY_AGENT_KUBECONFIG",
        path(),
        "How to reach the API server.",
        default=None,
        default_text="as the pod's service account",
    )
    namespace: str = setting(
        "VOLARY_AGENT_NAMESPACE",
        kinds.text(63, metavar="NAME"),
        "The agent's own namespace.",
        default_factory=_find_namespace,
        default_text="the pod's",
    )
    namespace_template: str = setting(
        "VOLARY_AGENT_NAMESPACE_TEMPLATE",
        Kind(
            accepts="a name that may contain {org}, {project} and {domain}",
            parse=_parse_template,
            metavar="TEMPLATE",
        ),
        "Namespace of attempts; may contain `{org}`, `{project}` and `{domain}`.",
        default="{project}-{domain}",
    )
    create_namespaces: bool = setting(
        "VOLARY_AGENT_CREATE_NAMESPACES",
        kinds.boolean(),
        "Create missing namespaces.",
        default=True,
        off_option="--no-create-namespaces",
    )
    identity: str = setting(
        "VOLARY_AGENT_IDENTITY",
        _NAME,
        "Unique name of this replica in the leader election.",
        default_factory=socket.gethostname,
        default_text="the host's name",
    )
    lease_name: str = setting(
        "VOLARY_AGENT_LEASE_NAME",
        _NAME,
        "The Lease of the leader election.",
        default="volary-agent",
    )
    proxy_listen: str = setting(
        "VOLARY_AGENT_PROXY_LISTEN",
        kinds.host_port(),
        "Where the API proxy for pods listens.",
        default="0.0.0.0:8443",
    )
    configured_proxy_address: str | None = setting(
        "VOLARY_AGENT_PROXY_ADDRESS",
        kinds.host_port(),
        "Address at which pods reach the API proxy.",
        default=None,
        default_text=f"the Service {PROXY_SERVICE_NAME} of the agent's namespace, port 443",
    )
    connectors: Sequence[Endpoint] = setting(
        "VOLARY_AGENT_CONNECTORS",
        kinds.listing(_CONNECTOR),
        "Connectors, `host:port` or `grpcs://host:port`, asked for their task types.",
        default=(),
    )
    connector_by_type: Mapping[str, Endpoint] = setting(
        "VOLARY_AGENT_CONNECTOR_FOR",
        kinds.pairs("TYPE", _CONNECTOR),
        "The connector of one task type, even if another one serves it too.",
        default={},
    )
    log_links: Mapping[str, str] = setting(
        "VOLARY_AGENT_LOG_LINK",
        kinds.pairs("NAME", kinds.text(2000, metavar="URI")),
        "A link to the cluster's logs, shown with each attempt; the URI may contain "
        "`{{.podName}}`, `{{.namespace}}`, `{{.runName}}`, `{{.actionName}}`, `{{.attempt}}`.",
        default={},
    )
    copilot_image: str = setting(
        "VOLARY_AGENT_COPILOT_IMAGE",
        kinds.text(1000, metavar="IMAGE"),
        "Brings the data of raw containers.",
        default="",
    )
    service_account: str = setting(
        "VOLARY_AGENT_SERVICE_ACCOUNT",
        _NAME,
        "Service account of pods whose task sets none.",
        default="default",
    )
    env_from_secret: str = setting(
        "VOLARY_AGENT_ENV_FROM_SECRET",
        _NAME,
        "A Secret of an attempt's namespace whose entries are its variables, such as the "
        "credentials of a bucket: every task of the namespace can read them. Better: give the "
        "service account an identity.",
        default="",
    )
    azure_account: str = setting(
        "VOLARY_AGENT_AZURE_ACCOUNT",
        kinds.text(24),
        "Storage account of an `abfs://` store: tasks get it as `AZURE_STORAGE_ACCOUNT_NAME`, which "
        "the agent reads too.",
        default="",
    )
    image_pull_secrets: Sequence[str] = setting(
        "VOLARY_AGENT_IMAGE_PULL_SECRETS",
        kinds.listing(_NAME),
        "Secrets of an attempt's namespace with which images are pulled, for every pod.",
        default=(),
    )
    pods: Choices = setting(
        "VOLARY_AGENT_PODS",
        Kind(accepts="a JSON object as in docs/pods.md", parse=_parse_pods, metavar="JSON"),
        "Policy for every pod: defaults, maxima, nodes, labels; [pods](pods.md).",
        default=Choices(),
        default_text="no defaults and no maxima",
    )
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)
    metrics_listen: str = setting(
        "VOLARY_AGENT_METRICS_LISTEN",
        kinds.host_port(),
        "Serve `/metrics` here.",
        default="",
    )

    @property
    def proxy_address(self) -> str:
        """``host:port``, as pods reach the proxy."""
        return self.configured_proxy_address or f"{PROXY_SERVICE_NAME}.{self.namespace}.svc:443"

    @property
    def proxy_host(self) -> str:
        return self.proxy_address.rpartition(":")[0].strip("[]")

    @property
    def proxy_port(self) -> int:
        return int(self.proxy_address.rpartition(":")[2])

    @property
    def proxy_name(self) -> str:
        """Name of the proxy's Service and of its Secret."""
        name = self.proxy_host.partition(".")[0]
        return PROXY_SERVICE_NAME if name.isdigit() or ":" in name else name

    @property
    def identity_secret(self) -> Name:
        """Name of the Secret with the agent's certificate and key for the link."""
        return Name(self.namespace, f"{self.proxy_name}-identity")

    @property
    def secrets_key(self) -> Name:
        """Name of the Secret with the agent's key pair for secrets."""
        return Name(self.namespace, f"{self.proxy_name}-secrets-key")


@settings("Connection and capacity")
class Settings:
    runtime: ProcessSettings | KubernetesSettings = chosen(
        "VOLARY_AGENT_RUNTIME",
        {"process": ProcessSettings, "kubernetes": KubernetesSettings},
        "What attempts run in. The settings of the other runtime have no effect.",
        default="process",
    )
    control_plane: Sequence[str] = setting(
        "VOLARY_AGENT_CONTROL_PLANE",
        kinds.listing(kinds.host_port()),
        "Addresses of the control plane's agent link; several are dialled one after the other.",
    )
    token_file: Path | None = setting(
        "VOLARY_AGENT_TOKEN_FILE",
        path(),
        "File with `VOLARY_CLUSTER_TOKEN`, for a link without client certificates; read at each dial.",
        default=None,
        default_text="a certificate of its own",
    )
    ca_file: Path | None = setting(
        "VOLARY_AGENT_CA_FILE",
        path(),
        "CA certificates to trust instead of the system's. A loopback address needs no TLS.",
        default=None,
        default_text="the system's",
    )
    configured_public_endpoint: str = setting(
        "VOLARY_AGENT_PUBLIC_ENDPOINT",
        kinds.host_port(),
        "Address of the control plane's API, for tasks or for the proxy that they call.",
        default="",
        default_text="the link's first host, port 443",
    )
    public_tls: bool = setting(
        "VOLARY_AGENT_PUBLIC_TLS",
        kinds.boolean(),
        "Call the API with TLS at a loopback address too; at others it always is.",
        default=False,
    )
    public_ca_file: Path | None = setting(
        "VOLARY_AGENT_PUBLIC_CA_FILE",
        path(),
        "CA certificates to trust for the API, if they are others than those of the link.",
        default=None,
        default_text="`VOLARY_AGENT_CA_FILE`",
    )
    slots: int | None = setting(
        "VOLARY_AGENT_SLOTS",
        kinds.whole_number(1, 100_000, unit="slots"),
        "Concurrent attempts. A soft limit: parents that wait for their children take no slot, "
        "and while all slots wait one more attempt is requested at a time, as memory allows.",
        default=None,
        default_text="1000 pods, or one process for each 256 MiB of memory, 4 to 256",
    )
    grace: timedelta = setting(
        "VOLARY_AGENT_GRACE_SECONDS",
        kinds.seconds(0, 3600),
        "From SIGTERM to SIGKILL, when a task is stopped.",
        default=timedelta(seconds=10),
    )
    retention: timedelta = setting(
        "VOLARY_AGENT_RETENTION_SECONDS",
        kinds.seconds(0, _YEAR_SECONDS),
        "How long to keep the directories or TaskActions of ended attempts.",
        default=timedelta(hours=1),
    )
    secret_manager: ManagerSettings = chosen(
        "VOLARY_AGENT_SECRET_MANAGER",
        CHOICES,
        "Where to look for secrets that the control plane does not have: [secrets](secrets.md).",
        default="none",
    )
    enrolment: EnrolmentSettings = field(default_factory=EnrolmentSettings)
    log: LogSettings = field(default_factory=LogSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)

    def __post_init__(self) -> None:
        if self.token_file is not None and self.enrolment.join_token_file is not None:
            raise ValueError(
                "an agent has a shared token or a certificate; set VOLARY_AGENT_TOKEN_FILE or"
                " VOLARY_AGENT_JOIN_TOKEN_FILE, not both"
            )

    @property
    def public_endpoint(self) -> str:
        """``host:port`` of the control plane's API."""
        return self.configured_public_endpoint or self.at_first_host(443)

    def at_first_host(self, port: int) -> str:
        """Return ``host:port`` with the host of the link's first address."""
        return f"{self.control_plane[0].rpartition(':')[0]}:{port}"

    @property
    def public_insecure(self) -> bool:
        """Whether the API is called without TLS."""
        return is_loopback(self.public_endpoint) and not self.public_tls

    @property
    def api_ca_file(self) -> Path | None:
        """CA certificates to trust for the API; None: the system's."""
        return self.public_ca_file or self.ca_file

    @property
    def public_url(self) -> str:
        """``http(s)://host:port`` of the control plane's API."""
        return f"{'http' if self.public_insecure else 'https'}://{self.public_endpoint}"


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Log a warning for each variable that looks like a setting and is none: a misspelt one."""
    known = [*variables_of(Settings), TASK_NAMESPACE]
    for each in find_unknown(environment, known, prefix=PREFIX):
        _log.warning(
            "unknown setting ignored",
            extra={"variable": each.variable, "nearest": each.nearest or "none"},
        )
