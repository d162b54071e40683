"""The agent's chart, as helm renders it: what each value brings about, and what it refuses."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.pods import Security
from dataplane.agent.settings import KubernetesSettings, Settings
from shared.kit.settings import read, variables_of
from tests.integration.charts.values import AGENT, put
from tests.kube.certificates import Authority
from tests.servers.helm import Helm, HelmError

CHART = "volary-agent"
_SCHEMA = Path(__file__).parents[3] / "infra" / "helm" / CHART / "values.schema.json"
_SECURITY = json.loads(_SCHEMA.read_text())["properties"]["tasks"]["properties"]["security"]


def find(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    found = [
        each
        for each in objects
        if each["kind"] == kind and (not name or each["metadata"]["name"] == name)
    ]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(find(objects, "Deployment")["spec"]["template"]["spec"])


VALUE_SETS: Mapping[str, Mapping[str, Any]] = {
    "fewest": {},
    "one namespace": {"namespaces__template": "tasks"},
    "namespaces made by others": {"namespaces__create": False},
    "every plugin": {
        "plugins": dict.fromkeys(
            ["clustered", "dask", "mpi", "pytorch", "ray", "spark", "tensorflow"], True
        )
    },
    "own certificates": {"controlPlane__certificateAuthority__existingConfigMap": "ca"},
    "one replica": {"replicas": 1},
    "no roles, no account": {
        "rbac__create": False,
        "serviceAccount": {"create": False, "name": "mine"},
    },
    "monitored": {"metrics__podMonitor__enabled": True, "networkPolicy__metricsFrom": [{}]},
    "all that tasks may have": {
        "tasks": {
            "serviceAccount": "tasks",
            "pullSecrets": ["registry", "other"],
            "environmentSecret": "bucket",
            "pods": {"defaults": {"cpu": "500m"}, "labels": {"team": '"quoted"'}},
            "security": {
                "hostPath": True,
                "capabilities": ["IPC_LOCK"],
                "serviceAccounts": ["etl"],
                "projects": {"ml": {"privileged": True}, "etl/production": {"hostPorts": True}},
            },
            "slots": 100,
            "pendingTimeoutSeconds": 600,
            "imageTimeoutSeconds": 0,
            "configTimeoutSeconds": 61,
            "volumeTimeoutSeconds": 62,
            "containerTimeoutSeconds": 63,
            "graceSeconds": 30,
            "retentionSeconds": 60,
        }
    },
    "connectors": {
        "connectors": {
            "addresses": ["one:8000", "grpcs://two.example.com:443?ca=/etc/two/ca.crt"],
            "byType": {"snowflake": "three:8000", "bigquery": "grpcs://four.example.com:443"},
        }
    },
    "placed": {
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podLabels": {"azure.workload.identity/use": "true"},
        "podAnnotations": {"a": "b"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "image": {"digest": "sha256:" + "a" * 64, "pullSecrets": ["registry"]},
    },
}


@pytest.mark.parametrize("changes", VALUE_SETS.values(), ids=VALUE_SETS)
def test_a_set_of_values_passes_the_linter(helm: Helm, changes: Mapping[str, Any]) -> None:
    helm.lint(CHART, put(AGENT, **changes))


REFUSED = {
    "a link with a scheme": (
        {"controlPlane__link": "https://volary.example.com:8101"},
        "/controlPlane/link",
    ),
    "an api without a port": ({"controlPlane__api": "volary.example.com"}, "/controlPlane/api"),
    "a misspelt value": ({"replica": 3}, "replica"),
    "a misspelt plugin": ({"plugins__sparks": True}, "sparks"),
    "a braced word that is none": ({"namespaces__template": "{team}"}, "/namespaces/template"),
    "a namespace in capitals": ({"namespaces__template": "Tasks"}, "/namespaces/template"),
    "no replicas": ({"replicas": 0}, "/replicas"),
    "a port of the system's": ({"proxy__port": 443}, "/proxy/port"),
    "a digest that is none": ({"image__digest": "sha256:abc"}, "/image/digest"),
    "an authority without tls": (
        {"connectors__addresses": ["one:8000?ca=/etc/one/ca.crt"]},
        "/connectors/addresses/0",
    ),
    "an allowance that is none": ({"tasks__security__root": True}, "root"),
    "an allowance in the wrong place": (
        {"tasks__pods": {"security": {"hostPath": True}}},
        "/tasks/pods",
    ),
    "a word for a number": ({"tasks__slots": "many"}, "/tasks/slots"),
}


@pytest.mark.parametrize(("changes", "named"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_cannot_be_meant_is_refused_and_named(
    helm: Helm, changes: Mapping[str, Any], named: str
) -> None:
    with pytest.raises(HelmError, match="don't meet the specifications") as refused:
        helm.template(CHART, put(AGENT, **changes))
    assert named in str(refused.value)


JOINING = put(
    AGENT,
    controlPlane={"address": "volary.example.com"},
    token__existingSecret="",
    joinToken={"existingSecret": "volary-join-token", "key": "token"},
)


def test_join_token_and_address_are_all_that_an_agent_needs(helm: Helm) -> None:
    objects = helm.template(CHART, JOINING)
    variables = find(objects, "ConfigMap")["data"]
    settings = read(Settings, variables)
    assert settings.control_plane == ["volary.example.com:8101"]
    assert settings.public_endpoint == "volary.example.com:443"
    assert settings.enrolment.addresses == ["volary.example.com:8102"]
    assert settings.token_file is None
    volume = next(each for each in pod_of(objects)["volumes"] if each["name"] == "token")
    assert volume["secret"]["secretName"] == "volary-join-token"
    assert volume["secret"]["optional"] is True  # it may be deleted, and pods still start
    mount = pod_of(objects)["containers"][0]["volumeMounts"][0]["mountPath"]
    assert str(settings.enrolment.join_token_file) == f"{mount}/token"
    assert isinstance(settings.runtime, KubernetesSettings)
    identity = settings.runtime.identity_secret.name
    rules = [rule for each in objects if each["kind"] == "Role" for rule in each["rules"]]
    named = [rule for rule in rules if rule.get("resourceNames") == [identity]]
    assert [(rule["resources"], rule["verbs"]) for rule in named] == [
        (["secrets"], ["get", "update"])
    ]
    ports = str(find(objects, "NetworkPolicy")["spec"]["egress"])
    assert all(f"'port': {port}" in ports for port in (8101, 8102, 443))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"controlPlane": {}}, "give controlPlane.address"),
        ({"joinToken": {}}, "give joinToken.existingSecret"),
        ({"token": {"existingSecret": "a"}}, "not both"),
    ],
    ids=["no control plane", "no token", "two tokens"],
)
def test_agent_without_an_address_or_a_credential_is_refused(
    helm: Helm, changes: Mapping[str, Any], why: str
) -> None:
    with pytest.raises(HelmError, match=why):
        helm.template(CHART, put(JOINING, **changes))


def test_a_name_for_which_the_sdk_would_leave_tls_is_refused(helm: Helm) -> None:
    with pytest.raises(HelmError, match="speak plaintext"):
        helm.template(CHART, AGENT, release="dockerised")


def test_every_variable_is_an_option_of_the_agent(helm: Helm, tmp_path: Path) -> None:
    authority = Authority(tmp_path).certificate  # the agent reads it at once
    values = put(
        AGENT,
        **VALUE_SETS["all that tasks may have"],
        **VALUE_SETS["connectors"],
        connectors__addresses=["one:8000", f"grpcs://two.example.com:443?ca={authority}"],
        controlPlane__certificateAuthority__existingConfigMap="ca",
    )
    variables = find(helm.template(CHART, values), "ConfigMap")["data"]
    assert set(variables) <= set(variables_of(Settings))
    settings = read(Settings, variables)
    assert settings.slots == 100
    assert isinstance(settings.runtime, KubernetesSettings)
    assert settings.runtime.timeouts == PendingTimeouts(
        image=timedelta(),
        config=timedelta(seconds=61),
        volume=timedelta(seconds=62),
        container=timedelta(seconds=63),
        pending=timedelta(seconds=600),
    )
    assert settings.runtime.image_pull_secrets == ["registry", "other"]
    pods = json.loads(variables["VOLARY_AGENT_PODS"])
    assert {**pods, "security": None} == {**values["tasks"]["pods"], "security": None}
    assert set(pods["security"]) == set(_SECURITY["properties"])
    assert settings.runtime.pods.security == Security(
        host_path=True,
        capabilities=("IPC_LOCK",),
        service_accounts=("etl",),
        projects={"ml": Security(privileged=True), "etl/production": Security(host_ports=True)},
    )
    assert settings.runtime.proxy_host == "volary-agent-proxy.volary.svc"
    assert set(settings.runtime.connector_by_type) == {"snowflake", "bigquery"}


def test_no_variable_of_a_service_is_taken_for_an_option(helm: Helm) -> None:
    assert pod_of(helm.template(CHART, AGENT))["enableServiceLinks"] is False


def test_no_secret_is_in_the_release(helm: Helm) -> None:
    objects = helm.template(CHART, put(AGENT, storage__existingSecret="bucket"))
    assert "Secret" not in {each["kind"] for each in objects}


def test_changed_settings_replace_the_pods(helm: Helm) -> None:
    def checksum(**changes: Any) -> str:
        template = find(helm.template(CHART, put(AGENT, **changes)), "Deployment")["spec"]
        return str(template["template"]["metadata"]["annotations"]["checksum/settings"])

    assert checksum() == checksum(replicas=3) != checksum(tasks__slots=7)


def test_all_tasks_in_one_namespace_need_rights_in_no_other(helm: Helm) -> None:
    objects = helm.template(CHART, put(AGENT, namespaces__template="tasks"))
    everywhere = {
        resource
        for each in objects
        if each["kind"] == "ClusterRole"
        for rule in each["rules"]
        for resource in rule["resources"]
    }
    assert everywhere == {"tokenreviews", "customresourcedefinitions", "namespaces"}
    role = find(objects, "Role", "volary-agent-tasks")
    assert role["metadata"]["namespace"] == "tasks"
    namespaces = [rule for rule in _rules(objects) if rule["resources"] == ["namespaces"]]
    assert [rule["verbs"] for rule in namespaces] == [["get"]]


def test_who_may_not_make_namespaces_is_not_told_to(helm: Helm) -> None:
    objects = helm.template(CHART, put(AGENT, namespaces__create=False))
    assert find(objects, "ConfigMap")["data"]["VOLARY_AGENT_CREATE_NAMESPACES"] == "false"
    assert not any(
        rule["resources"] == ["namespaces"] and "create" in rule["verbs"]
        for rule in _rules(objects)
    )


@pytest.mark.parametrize(
    ("plugin", "group"),
    [("spark", "sparkoperator.k8s.io"), ("ray", "ray.io"), ("clustered", "jobset.x-k8s.io")],
)
def test_a_plugin_brings_its_rights_and_no_other(helm: Helm, plugin: str, group: str) -> None:
    def groups(**changes: Any) -> set[str]:
        rules = _rules(helm.template(CHART, put(AGENT, **changes)))
        return {group for rule in rules for group in rule["apiGroups"]}

    assert groups(**{f"plugins__{plugin}": True}) - groups() == {group}


def test_the_policy_lets_the_agent_reach_what_it_dials(helm: Helm) -> None:
    values = put(AGENT, controlPlane={"link": "a.test:18101,b.test:28101", "api": "a.test:8443"})
    policy = find(helm.template(CHART, values), "NetworkPolicy")["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert {53, 443, 6443, 8443, 18101, 28101} == ports
    assert policy["ingress"] == [{"ports": [{"port": "proxy"}]}]


def test_one_replica_has_no_budget_that_would_hold_up_a_drain(helm: Helm) -> None:
    kinds = {each["kind"] for each in helm.template(CHART, put(AGENT, replicas=1))}
    assert "PodDisruptionBudget" not in kinds


def test_two_releases_of_one_cluster_do_not_meet(helm: Helm) -> None:
    def cluster_wide(release: str, namespace: str) -> set[tuple[str, str]]:
        objects = helm.template(CHART, AGENT, release=release, namespace=namespace)
        return {
            (each["kind"], each["metadata"]["name"])
            for each in objects
            if "namespace" not in each["metadata"]
        }

    assert not cluster_wide("volary", "one") & cluster_wide("volary", "two")
    assert not cluster_wide("left", "one") & cluster_wide("right", "one")


def _rules(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for each in objects if each["kind"].endswith("Role") for rule in each["rules"]]
