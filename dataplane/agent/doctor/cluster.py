"""Check the API server: connection, version, resource definitions, permissions, namespaces."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dataplane.agent.doctor.clocks import check_skew
from dataplane.agent.doctor.permissions import PLUGINS, TABLE, Feature, Named, Rule, Scope, rules_of
from dataplane.agent.doctor.results import CheckResult, fault, fine, warning
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ForbiddenError, KubeError, NotFoundError
from dataplane.agent.kube.namespaces import (
    POD_SECURITY,
    POD_SECURITY_PIN,
    POD_SECURITY_VERSION,
)
from dataplane.agent.kube.objects import MANAGED_LABEL, NAMESPACE, SECRET, Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pods.secrets import DEFAULT_SECRET
from dataplane.agent.settings import KubernetesSettings
from shared.kit.clock import Clock

ABOUT = "kubernetes"
DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"
)
DEFINITION_NAME = "taskactions.volary.dev"
OLDEST_MINOR = 29  # copilots are native sidecars
_APPLY = "kubectl apply --server-side --force-conflicts -f crds/taskactions.yaml (of the chart)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One agent's cluster, as its settings describe it."""

    kube: Kube
    settings: KubernetesSettings
    namespaces: Sequence[str]  # of tasks, to check: the only one, or those asked for
    clock: Clock

    @property
    def only_namespace(self) -> str:
        """Return the namespace in which all tasks run; "" if that depends on the task."""
        template = self.settings.namespace_template
        return "" if "{" in template else template

    def names(self) -> Mapping[Named, Sequence[str]]:
        service = self.settings.proxy_name
        return {
            Named.PROXY_AUTHORITY: [service],
            Named.PROXY_CERTIFICATE: ["volary-proxy"],
            Named.PROXY_SERVICE: [service],
            Named.LEASE: [self.settings.lease_name],
            Named.IDENTITY: [self.settings.identity_secret.name],
            Named.SECRETS_KEY: [self.settings.secrets_key.name],
            Named.PULL_SECRETS: list(self.settings.image_pull_secrets),
            Named.TASK_ACTION_DEFINITION: [DEFINITION_NAME],
            Named.TASK_SECRETS: [DEFAULT_SECRET],
        }


async def check_server(patient: Patient) -> Sequence[CheckResult]:
    """Check version and clock; KubeError if there is no answer."""
    version, at = await patient.kube.get_dated("/version")
    last_reported = f"{version.get('major', '?')}.{version.get('minor', '?')}"
    minor = "".join(filter(str.isdigit, str(version.get("minor", ""))))
    results = [
        fine(ABOUT, f"the API server answers, version {last_reported}")
        if minor and int(minor) >= OLDEST_MINOR
        else fault(
            ABOUT,
            f"the API server is of version {last_reported}",
            f"upgrade it to 1.{OLDEST_MINOR} or newer",
        )
    ]
    if at is not None:  # cut to whole seconds
        skew = patient.clock.now() - (at + timedelta(milliseconds=500))
        results.append(check_skew(skew, "the API server's"))
    return results


async def check_definition(patient: Patient) -> Sequence[CheckResult]:
    """Check that the ledger's resource definition exists, in this release's version."""
    try:
        definition = await patient.kube.get(DEFINITION, Name("", DEFINITION_NAME))
    except NotFoundError:
        return [fault(ABOUT, f"the resource definition {DEFINITION_NAME} does not exist", _APPLY)]
    except ForbiddenError:
        return []  # reported by the permissions check
    return [_check_definition_version(definition)]


def _check_definition_version(definition: Object) -> CheckResult:
    conditions = definition.get("status", {}).get("conditions") or ()
    if ("Established", "True") not in {(each["type"], each["status"]) for each in conditions}:
        return fault(
            ABOUT,
            f"{DEFINITION_NAME} is not established",
            f"kubectl describe crd {DEFINITION_NAME}: another definition may have its names",
        )
    served_versions = {
        each["name"]: each for each in definition["spec"]["versions"] if each["served"]
    }
    if "v1" not in served_versions or "status" not in served_versions["v1"].get("subresources", {}):
        return fault(ABOUT, f"{DEFINITION_NAME} is not this release's", _APPLY)
    return fine(ABOUT, f"{DEFINITION_NAME} is there")


async def check_permissions(patient: Patient) -> Sequence[CheckResult]:
    """Check each permission that the features in use need."""
    desired = [
        (rule, name)
        for rule in rules_of(_features(patient.settings, patient.only_namespace))
        for name in (patient.names()[rule.named] if rule.named else [""])
    ]
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_find_lack(patient, rule, name)) for rule, name in desired]
    lacks = [
        _missing_permission(patient, rule, name, each.result())
        for (rule, name), each in zip(desired, asked, strict=True)
        if each.result()
    ]
    return lacks or [fine("permissions", f"all {len(desired)} rules that are needed are granted")]


async def _find_lack(patient: Patient, rule: Rule, name: str = "") -> Sequence[str]:
    """Return the verbs of a rule that are not granted."""
    plural, _, part = rule.resource.partition("/")
    kind = Kind(rule.group, "*", plural, "")
    namespace = _namespace(patient, rule)
    return [
        verb
        for verb in rule.verbs
        if not await patient.kube.may(verb, kind, namespace, part=part, name=name)
    ]


def _namespace(patient: Patient, rule: Rule) -> str:
    match rule.scope:
        case Scope.HOME:
            return patient.settings.namespace
        case Scope.TASKS:
            return patient.only_namespace
        case Scope.CLUSTER:
            return ""


def _missing_permission(
    patient: Patient, rule: Rule, name: str, verbs: Sequence[str]
) -> CheckResult:
    resource = f"{rule.resource}.{rule.group}" if rule.group else rule.resource
    named = f" {name}" if name else ""
    namespace = _namespace(patient, rule)
    if namespace:
        where = f" in namespace {namespace}"
    else:
        where = " in every namespace" if rule.scope is Scope.TASKS else ""
    return fault(
        "permissions",
        f"may not {', '.join(verbs)} {resource}{named}{where} ({rule.why})",
        "upgrade the chart with rbac.create, or add this to the agent's role",
    )


def _features(settings: KubernetesSettings, only_namespace: str) -> Collection[Feature]:
    """Return the features in use by the settings; operators are checked separately."""
    features = set()
    if settings.create_namespaces and not only_namespace:
        features.add(Feature.CREATE_NAMESPACES)
    if settings.connectors or settings.connector_by_type:
        features.add(Feature.CONNECTORS)
    if settings.image_pull_secrets:
        features.add(Feature.PULL_SECRETS)
    return features


async def check_plugins(patient: Patient) -> Sequence[CheckResult]:
    """Check which operators are installed, and whether the agent may use them; none is required."""
    rules = [rule for rule in TABLE if rule.feature in PLUGINS]
    async with asyncio.TaskGroup() as tasks:
        served_versions = [tasks.create_task(_is_served(patient, rule)) for rule in rules]
        lacking = [tasks.create_task(_find_lack(patient, rule)) for rule in rules]
    return [
        result
        for rule, here, lack in zip(rules, served_versions, lacking, strict=True)
        if (result := _check_plugin(rule, is_served=here.result(), may_use=not lack.result()))
    ]


def _check_plugin(rule: Rule, *, is_served: bool, may_use: bool) -> CheckResult | None:
    resource = f"{rule.resource}.{rule.group}"
    if is_served and may_use:
        return fine("plugins", f"{rule.feature}: {resource} can be used")
    if is_served:
        return warning(
            "plugins",
            f"{rule.feature}: {resource} is served, but the agent may not use it",
            f"set plugins.{rule.feature} of the chart, if tasks are to use it",
        )
    if may_use:
        return warning(
            "plugins",
            f"{rule.feature}: the agent may use {resource}, but the API server does not serve it",
            f"install its operator, or unset plugins.{rule.feature} of the chart",
        )
    return None


async def _is_served(patient: Patient, rule: Rule) -> bool:
    try:
        groups, _ = await patient.kube.get_dated(f"/apis/{rule.group}")
        version = groups["preferredVersion"]["groupVersion"]
        resources, _ = await patient.kube.get_dated(f"/apis/{version}")
    except NotFoundError:
        return False
    return any(each["name"] == rule.resource for each in resources["resources"])


async def check_namespaces(patient: Patient) -> Sequence[CheckResult]:
    """Check the namespaces where tasks run, as far as they are known, and their contents."""
    namespaces = [patient.only_namespace] if patient.only_namespace else patient.namespaces
    if not namespaces:
        who = "the agent creates them" if patient.settings.create_namespaces else "you create them"
        return [fine("namespaces", f"{patient.settings.namespace_template}: {who}")]
    results: list[CheckResult] = []
    for namespace in namespaces:
        results += await _check_namespace(patient, namespace)
    return results


async def _check_namespace(patient: Patient, namespace: str) -> Sequence[CheckResult]:
    try:
        found = await patient.kube.get(NAMESPACE, Name("", namespace))
    except NotFoundError:
        return [
            fault("namespaces", f"there is no {namespace}", f"kubectl create namespace {namespace}")
        ]
    except ForbiddenError:
        return []  # reported by the permissions check
    if found["metadata"].get("deletionTimestamp"):
        return [
            fault(
                "namespaces",
                f"{namespace} is being deleted",
                "wait until it is gone, and create it again",
            )
        ]
    results = [*_judge_namespace(patient, found)]
    for secret in patient.settings.image_pull_secrets:
        results += await _check_pull_secret(patient, Name(namespace, secret))
    return results


def _judge_namespace(patient: Patient, found: Object) -> Sequence[CheckResult]:
    """Check that tasks may run in it, and that the API server enforces a Pod Security level."""
    name, labels = found["metadata"]["name"], found["metadata"].get("labels") or {}
    if name == patient.settings.namespace:
        remedy = "choose another --namespace-template"
        return [
            fault(
                "namespaces", f"{name} is the agent's own namespace, where no task may run", remedy
            )
        ]
    if labels.get(MANAGED_LABEL) != "true":
        remedy = f"kubectl label namespace {name} {MANAGED_LABEL}=true"
        return [
            fault("namespaces", f"{name} is not labelled for tasks, so none runs there", remedy)
        ]
    if POD_SECURITY not in labels:
        remedy = (
            f"kubectl label namespace {name} {POD_SECURITY}=baseline"
            f" {POD_SECURITY_VERSION}={POD_SECURITY_PIN}"
        )
        return [warning("namespaces", f"{name} enforces no Pod Security level", remedy)]
    return [fine("namespaces", f"{name} is there")]


async def _check_pull_secret(patient: Patient, name: Name) -> Sequence[CheckResult]:
    try:
        secret = await patient.kube.get(SECRET, name)
    except NotFoundError:
        return [
            fault(
                "images",
                f"the Secret {name} for pulling images does not exist",
                f"kubectl --namespace {name.namespace} create secret docker-registry {name.name} …",
            )
        ]
    except ForbiddenError:
        return []  # reported by the permissions check
    if secret.get("type") not in {
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/dockercfg",
    }:
        return [
            fault(
                "images",
                f"the Secret {name} is of type {secret.get('type')}, which cannot be used to pull images",
                f"kubectl --namespace {name.namespace} create secret docker-registry {name.name} …",
            )
        ]
    return [fine("images", f"the Secret {name} is there")]


def no_answer(error: KubeError) -> CheckResult:
    return fault(
        ABOUT,
        str(error),
        "allow egress to the API server (networkPolicy.egressPorts), or correct --kubeconfig",
    )
