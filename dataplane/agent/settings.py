"""Settings of the agent that an operator may choose. Only ``main`` and ``cli`` read this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dataplane.agent.runtimes.connectors.client import Endpoint
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.pods import Choices

PROXY_SERVICE_NAME = "volary-agent-proxy"
"""Name that the chart gives the in-cluster API proxy's Service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """Settings of the process runtime: tasks run as processes of this machine."""

    data_dir: Path
    public_endpoint: str  # host:port of the API, for tasks
    public_insecure: bool
    warm: bool
    stop_attempts: bool  # abort attempts when the agent stops, instead of leaving them running


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """Settings of the Kubernetes runtime: tasks run as pods of a cluster."""

    kubeconfig: Path | None  # None: the pod's own account
    namespace: str  # the agent's own
    namespace_template: str  # of attempts: {org}, {project}, {domain}
    create_namespaces: bool
    identity: str  # of this replica, among those of the agent
    lease_name: str
    connectors: Sequence[Endpoint]  # asked which task types they serve
    connector_by_type: Mapping[str, Endpoint]  # by task type; these are not asked
    log_links: Mapping[str, str]  # URI templates of the cluster's log links, by name
    public_url: str  # http(s)://host:port of the control plane's API
    proxy_listen: str  # host:port
    proxy_address: str  # host:port, as pods reach it
    copilot_image: str
    service_account: str
    env_from_secret: str  # "" for none: name of a Secret in the namespace of each attempt
    image_pull_secrets: Sequence[str]
    pods: Choices
    timeouts: PendingTimeouts
    metrics_listen: str  # "" for none

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The agent's settings; ``cli`` says what each means and where it comes from."""

    control_plane: Sequence[str]  # host:port of the link, of one replica or of several
    token_file: Path
    ca_file: Path | None
    slots: int
    grace: timedelta
    retention: timedelta
    runtime: ProcessSettings | KubernetesSettings
