"""
Permissions that the agent needs from the API server, by feature: the only list of them.

``infra/helm/volary-agent/permissions.yaml`` is generated from this table (``python -m
scripts.permissions``), the chart grants the rows of the features that are in use, and the
doctor checks each. A call that is not in the table is refused in every cluster, so a change
that adds a call to the ``kube`` room or above adds its row here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Feature(StrEnum):
    """An optional feature; the chart's values select which are in use."""

    AGENT = "agent"
    CONNECTORS = "connectors"
    CREATE_NAMESPACES = "createNamespaces"
    PULL_SECRETS = "pullSecrets"
    # Plugins: each is an operator's resource.
    CLUSTERED = "clustered"
    DASK = "dask"
    MPI = "mpi"
    PYTORCH = "pytorch"
    RAY = "ray"
    SPARK = "spark"
    TENSORFLOW = "tensorflow"


class Scope(StrEnum):
    HOME = "home"  # the agent's own namespace
    TASKS = "tasks"  # wherever tasks run: one namespace, or any
    CLUSTER = "cluster"  # resources without a namespace


class Named(StrEnum):
    """Objects whose names an installation chooses; a rule for them grants access to them alone."""

    IDENTITY = "identity"  # the Secret with the agent's certificate and key for the link
    PROXY_AUTHORITY = "proxyAuthority"  # the Secret with the proxy's certificate authority
    PROXY_CERTIFICATE = "proxyCertificate"  # the ConfigMaps that publish its certificate
    PROXY_SERVICE = "proxyService"
    LEASE = "lease"
    PULL_SECRETS = "pullSecrets"
    SECRETS_KEY = "secretsKey"  # the Secret with the agent's key pair for secrets
    TASK_ACTION_DEFINITION = "taskActionDefinition"
    TASK_SECRETS = "taskSecrets"  # of tasks that name no group


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Verbs on one resource, and the reason for them."""

    feature: Feature = Feature.AGENT
    scope: Scope
    group: str = ""  # "" is the core's
    resource: str  # the plural; "pods/log" for a subresource
    verbs: Sequence[str]
    named: Named | None = None  # None: whatever its name
    why: str


FOLLOW = ("list", "watch")
RUN = ("create", "delete", "get", "list", "watch")

TABLE: Sequence[Rule] = (
    # In its own namespace.
    Rule(
        scope=Scope.HOME,
        group="coordination.k8s.io",
        resource="leases",
        verbs=("create",),
        why="leader election among the agent's replicas",
    ),
    Rule(
        scope=Scope.HOME,
        group="coordination.k8s.io",
        resource="leases",
        verbs=("get", "update"),
        named=Named.LEASE,
        why="leader election among the agent's replicas",
    ),
    Rule(
        scope=Scope.HOME,
        resource="configmaps",
        verbs=("create", "delete", "get", "list", "patch"),
        why="task specs, each once, and the agent's own state",
    ),
    Rule(
        scope=Scope.HOME,
        group="volary.dev",
        resource="taskactions",
        verbs=("create", "delete", "get", "list"),
        why="the ledger of tasks whose own namespace is not available",
    ),
    Rule(
        scope=Scope.HOME,
        group="volary.dev",
        resource="taskactions/status",
        verbs=("patch",),
        why="the ledger of tasks whose own namespace is not available",
    ),
    Rule(
        scope=Scope.HOME,
        resource="podtemplates",
        verbs=FOLLOW,
        why="templates that tasks of any namespace may name",
    ),
    Rule(
        scope=Scope.HOME,
        resource="secrets",
        verbs=("create",),
        why="the API proxy creates its own certificate authority",
    ),
    Rule(
        scope=Scope.HOME,
        resource="secrets",
        verbs=("get",),
        named=Named.PROXY_AUTHORITY,
        why="every replica of the API proxy has the same certificate authority",
    ),
    Rule(
        scope=Scope.HOME,
        resource="secrets",
        verbs=("get",),
        named=Named.SECRETS_KEY,
        why="the key pair to which the control plane seals secrets",
    ),
    Rule(
        scope=Scope.HOME,
        resource="secrets",
        verbs=("get", "update"),
        named=Named.IDENTITY,
        why="the certificate and key by which the control plane knows this agent",
    ),
    Rule(
        scope=Scope.HOME,
        resource="services",
        verbs=("get",),
        named=Named.PROXY_SERVICE,
        why="the kubelet's probes reach the proxy by its address: nodes resolve no cluster names",
    ),
    # Where tasks run.
    Rule(
        scope=Scope.TASKS,
        group="volary.dev",
        resource="taskactions",
        verbs=("create", "delete", "get", "list", "patch"),
        why="the ledger: what was accepted, until its end is acknowledged",
    ),
    Rule(
        scope=Scope.TASKS,
        group="volary.dev",
        resource="taskactions/status",
        verbs=("patch",),
        why="the ledger: what was reported",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="pods",
        verbs=RUN,
        why="tasks",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="pods/log",
        verbs=("get",),
        why="logs, live and when a task ends",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="events",
        verbs=FOLLOW,
        why="events of a task's pods: why it waits, why it failed",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="podtemplates",
        verbs=FOLLOW,
        why="templates that tasks name",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="configmaps",
        verbs=("create",),
        why="the proxy's certificate, for pods to trust",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="configmaps",
        verbs=("get", "patch"),
        named=Named.PROXY_CERTIFICATE,
        why="the proxy's certificate, for pods to trust",
    ),
    Rule(
        feature=Feature.PULL_SECRETS,
        scope=Scope.TASKS,
        resource="secrets",
        verbs=("get",),
        named=Named.PULL_SECRETS,
        why="the doctor checks that they exist",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="secrets",
        verbs=("get",),
        named=Named.TASK_SECRETS,
        why="secrets that the control plane does not keep are looked for there",
    ),
    Rule(
        scope=Scope.TASKS,
        resource="secrets",
        verbs=("create", "delete"),
        why="an attempt's secrets are in Secrets of its own, for as long as it runs",
    ),
    # Resources without a namespace.
    Rule(
        scope=Scope.CLUSTER,
        group="authentication.k8s.io",
        resource="tokenreviews",
        verbs=("create",),
        why="the API proxy authenticates the tokens of pods",
    ),
    Rule(
        scope=Scope.CLUSTER,
        group="apiextensions.k8s.io",
        resource="customresourcedefinitions",
        verbs=("get",),
        named=Named.TASK_ACTION_DEFINITION,
        why="the doctor checks that the definition is this release's",
    ),
    Rule(
        scope=Scope.CLUSTER,
        resource="namespaces",
        verbs=("get",),
        why="check whether a project's namespace exists, or is being deleted",
    ),
    Rule(
        feature=Feature.CREATE_NAMESPACES,
        scope=Scope.CLUSTER,
        resource="namespaces",
        verbs=("create",),
        why="create the namespace of a new project without an administrator",
    ),
    # Plugins.
    *(
        Rule(
            feature=feature,
            scope=Scope.TASKS,
            group=group,
            resource=resource,
            verbs=RUN,
            why=f"{feature} tasks",
        )
        for feature, group, resource in (
            (Feature.CLUSTERED, "jobset.x-k8s.io", "jobsets"),
            (Feature.DASK, "kubernetes.dask.org", "daskjobs"),
            (Feature.MPI, "kubeflow.org", "mpijobs"),
            (Feature.PYTORCH, "kubeflow.org", "pytorchjobs"),
            (Feature.RAY, "ray.io", "rayjobs"),
            (Feature.SPARK, "sparkoperator.k8s.io", "sparkapplications"),
            (Feature.TENSORFLOW, "kubeflow.org", "tfjobs"),
        )
    ),
)

PLUGINS: Collection[Feature] = tuple(
    feature
    for feature in Feature
    if feature
    not in {
        Feature.AGENT,
        Feature.CONNECTORS,
        Feature.CREATE_NAMESPACES,
        Feature.PULL_SECRETS,
    }
)


def rules_of(features: Collection[Feature]) -> Iterator[Rule]:
    """Yield the rules that an agent with these features needs, in the table's order."""
    return (rule for rule in TABLE if rule.feature is Feature.AGENT or rule.feature in features)
