"""A task's pod is held to Pod Security's "baseline", unless an operator allows more by name."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import flyte
import pytest
from flyteidl2.core import security_pb2, tasks_pb2
from flyteidl2.task import run_pb2
from google.protobuf import json_format, struct_pb2

from dataplane.agent.kube.objects import Name, Object
from dataplane.agent.runtimes.kubernetes.pods import (
    PodTemplates,
    Replica,
    Security,
    parse_choices,
)
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    CLUSTER,
    IMAGE,
    PROXY,
    build,
    main_container,
    make_task,
    serialise,
)

_PROBE = {"httpGet": {"host": "169.254.169.254", "port": 80}}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/primary"

OF_CONTAINER: Mapping[str, tuple[Object, str, str]] = {
    "privileged": ({"securityContext": {"privileged": True}}, "privileged", "privileged"),
    "capabilities": (
        {"securityContext": {"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}}},
        "capabilities.add is 'SYS_ADMIN'",
        "capabilities",
    ),
    "a capability by its other name": (
        {"securityContext": {"capabilities": {"add": ["CAP_BPF"]}}},
        "capabilities.add is 'CAP_BPF'",
        "capabilities",
    ),
    "all capabilities": (
        {"securityContext": {"capabilities": {"add": ["ALL"]}}},
        "capabilities.add is 'ALL'",
        "capabilities",
    ),
    "a port of the node": (
        {"ports": [{"containerPort": 1, "hostPort": 1}]},
        "hostPort",
        "hostPorts",
    ),
    "a probe elsewhere": ({"readinessProbe": _PROBE}, "readinessProbe.httpGet.host", "probeHosts"),
    "a hook elsewhere": (
        {"lifecycle": {"postStart": {"tcpSocket": {"host": "db", "port": 1}}}},
        "lifecycle.postStart.tcpSocket.host",
        "probeHosts",
    ),
    "no seccomp": (
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "seccompProfile.type",
        "unconfined",
    ),
    "no AppArmor": (
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
        "appArmorProfile.type",
        "unconfined",
    ),
    "an SELinux type": (
        {"securityContext": {"seLinuxOptions": {"type": "spc_t"}}},
        "seLinuxOptions.type",
        "unconfined",
    ),
    "an SELinux role": (
        {"securityContext": {"seLinuxOptions": {"role": "system_r"}}},
        "seLinuxOptions.role",
        "unconfined",
    ),
    "all of /proc": ({"securityContext": {"procMount": "Unmasked"}}, "procMount", "unconfined"),
    "a Windows host process": (
        {"securityContext": {"windowsOptions": {"hostProcess": True}}},
        "windowsOptions.hostProcess",
        "privileged",
    ),
}
OF_POD: Mapping[str, tuple[Object, str, str]] = {
    "the node's network": ({"hostNetwork": True}, "pod_spec.hostNetwork", "hostNamespaces"),
    "the node's processes": ({"hostPID": True}, "pod_spec.hostPID", "hostNamespaces"),
    "the node's IPC": ({"hostIPC": True}, "pod_spec.hostIPC", "hostNamespaces"),
    "the node's files": (
        {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        r"pod_spec.volumes\[0\].hostPath",
        "hostPath",
    ),
    "no seccomp of the pod": (
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "pod_spec.securityContext.seccompProfile.type",
        "unconfined",
    ),
    "a sysctl": (
        {"securityContext": {"sysctls": [{"name": "kernel.core_pattern", "value": "|/x"}]}},
        "sysctls is 'kernel.core_pattern'",
        "unconfined",
    ),
}


def job_of(spec: Object) -> Job:
    """Return a task whose pod template is that spec."""
    job = serialise(make_task(pod_template=flyte.PodTemplate(labels={"a": "b"})))
    template = tasks_pb2.TaskTemplate()
    template.CopyFrom(job.task.template)
    template.k8s_pod.primary_container_name = "primary"
    template.k8s_pod.pod_spec.CopyFrom(json_format.ParseDict(dict(spec), struct_pb2.Struct()))
    return replace(job, task=replace(job.task, template=template))


def pod_with(container: Object, *, listing: str = "containers") -> Job:
    main = {"name": "primary", "image": IMAGE}
    if listing == "containers":
        return job_of({"containers": [{**main, **container}]})
    return job_of({"containers": [main], listing: [{"name": "x", "image": IMAGE, **container}]})


def allowing(name: str) -> PodTemplates:
    value: object = ["*"] if name == "capabilities" else True
    choices = parse_choices(json.dumps({"security": {name: value}}))
    return choices.apply(CLUSTER)


@pytest.mark.parametrize("listing", ["containers", "initContainers"])
@pytest.mark.parametrize(("asked", "field", "value"), OF_CONTAINER.values(), ids=OF_CONTAINER)
def test_container_beyond_baseline_is_refused_with_field_and_chart_value(
    asked: Object, field: str, value: str, listing: str
) -> None:
    job = pod_with(asked, listing=listing)
    with pytest.raises(BadSpecError, match=rf"{field}.* have tasks\.security\.{value} set"):
        build(job)
    for replica in (Replica(role="worker"), Replica(role="worker", container_name="pytorch")):
        with pytest.raises(BadSpecError, match=rf"tasks\.security\.{value} set"):
            build(job, replica=replica)
    assert build(job, allowing(value))


@pytest.mark.parametrize(("asked", "field", "value"), OF_POD.values(), ids=OF_POD)
def test_pod_beyond_baseline_is_refused_with_field_and_chart_value(
    asked: dict[str, Any], field: str, value: str
) -> None:
    job = job_of({"containers": [{"name": "primary", "image": IMAGE}], **asked})
    with pytest.raises(BadSpecError, match=rf"{field}.* have tasks\.security\.{value} set"):
        build(job)
    assert build(job, allowing(value))


def test_apparmor_is_not_switched_off_by_an_annotation_of_pod_or_run() -> None:
    def of_template(value: str) -> Job:
        return serialise(make_task(pod_template=flyte.PodTemplate(annotations={_APPARMOR: value})))

    of_run = serialise(
        make_task(), annotations=run_pb2.Annotations(values={_APPARMOR: "unconfined"})
    )
    assert build(of_template("runtime/default"))
    for job in (of_template("unconfined"), of_run):
        with pytest.raises(BadSpecError, match=r"the annotation .* tasks\.security\.unconfined"):
            build(job)
        assert build(job, allowing("unconfined"))


def test_named_pod_template_beyond_baseline_is_refused() -> None:
    template = {"template": {"spec": {"containers": [], "hostNetwork": True}}}
    name = replace(CLUSTER, default_template="usual")
    cluster = replace(name, templates={Name("p-development", "usual"): template})
    with pytest.raises(BadSpecError, match=r"hostNetwork is True"):
        build(serialise(make_task()), cluster)


def test_pod_within_baseline_is_allowed() -> None:
    context = {
        "capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"], "drop": ["ALL"]},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"},
        "seLinuxOptions": {"type": "container_t", "level": "s0:c1"},
        "runAsUser": 0,
        "privileged": False,
    }
    probe = {"httpGet": {"port": 80}}
    container = {
        "securityContext": context,
        "readinessProbe": probe,
        "ports": [{"containerPort": 1}],
    }
    assert main_container(build(pod_with(container)))["securityContext"]["runAsUser"] == 0
    assert build(serialise(make_task(), replaceable=True))  # the fence is a probe with a host


def test_unlisted_service_account_is_refused() -> None:
    def of_run(name: str) -> Job:
        identity = security_pb2.Identity(k8s_service_account=name)
        return serialise(
            make_task(), security_context=security_pb2.SecurityContext(run_as=identity)
        )

    main = {"containers": [{"name": "primary", "image": IMAGE}]}
    ways = [
        of_run("admin"),
        serialise(make_task(service_account="admin")),
        job_of({**main, "serviceAccountName": "admin"}),
        job_of({**main, "serviceAccount": "admin"}),
    ]
    cluster = PodTemplates(proxy=PROXY, service_account="tasks")
    for job in ways:
        for here in (cluster, CLUSTER):
            with pytest.raises(BadSpecError, match=r"'admin'.*tasks\.security\.serviceAccounts"):
                build(job, here)
            for listed in (("admin",), ("*",)):
                allowed = replace(here, security=Security(service_accounts=listed))
                spec = build(job, allowed)["spec"]
                assert spec["serviceAccountName"] == "admin"
                assert "serviceAccount" not in spec
    assert build(of_run("tasks"), cluster)["spec"]["serviceAccountName"] == "tasks"
    assert build(of_run("default"))["spec"]["serviceAccountName"] == "default"
    with pytest.raises(BadSpecError, match="'default'"):
        build(of_run("default"), cluster)


def test_single_capability_may_be_allowed() -> None:
    asked = {"securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}}
    cluster = replace(CLUSTER, security=Security(capabilities=("IPC_LOCK",)))
    assert build(pod_with(asked), cluster)
    asked = {"securityContext": {"capabilities": {"add": ["IPC_LOCK", "SYS_ADMIN"]}}}
    with pytest.raises(BadSpecError, match="'SYS_ADMIN'"):
        build(pod_with(asked), cluster)


def test_namespace_level_follows_the_allowances() -> None:
    for allowed in (Security(), Security(service_accounts=("*",))):
        assert allowed.level_in("p", "d") == "baseline"
    for allowed in (Security(host_path=True), Security(capabilities=("BPF",))):
        assert allowed.level_in("p", "d") == "privileged"


@pytest.mark.parametrize(
    ("project", "domain", "level"),
    [
        ("ml", "development", "privileged"),
        ("etl", "production", "privileged"),
        ("etl", "development", "baseline"),
        ("web", "production", "baseline"),
        ("ml", "", "privileged"),
        ("etl", "", "privileged"),  # one namespace for all domains of the project
        ("", "development", "privileged"),  # one for all projects
        ("", "", "privileged"),
    ],
)
def test_namespace_level_follows_the_allowances_of_its_own_project(
    project: str, domain: str, level: str
) -> None:
    security = Security(
        projects={"ml": Security(host_path=True), "etl/production": Security(privileged=True)}
    )
    assert security.level_in(project, domain) == level


def test_allowance_of_a_project_is_no_other_projects() -> None:
    volume = {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}
    main = {"containers": [{"name": "primary", "image": IMAGE}], "serviceAccountName": "etl"}
    job = job_of({**main, **volume})
    own = job.assignment.key.run
    allowed = Security(host_path=True, service_accounts=("etl",))
    for scope in (own.project, f"{own.project}/{own.domain}"):
        assert build(job, replace(CLUSTER, security=Security(projects={scope: allowed})))
    for scope in ("other", f"{own.project}/other", f"other/{own.domain}"):
        with pytest.raises(BadSpecError, match=r"hostPath.*tasks\.security\.projects"):
            build(job, replace(CLUSTER, security=Security(projects={scope: allowed})))


@pytest.mark.parametrize("odd", [[False], {"a": ["b"]}, 1])
@pytest.mark.parametrize(
    "asked",
    [
        lambda odd: {"securityContext": {"procMount": odd}},
        lambda odd: {"securityContext": {"seccompProfile": {"type": odd}}},
        lambda odd: {"securityContext": {"seLinuxOptions": {"type": odd}}},
        lambda odd: {"securityContext": {"appArmorProfile": {"type": odd}}},
    ],
    ids=["procMount", "seccomp", "SELinux", "AppArmor"],
)
def test_malformed_security_value_is_user_failure(
    asked: Callable[[object], Object], odd: object
) -> None:
    with pytest.raises(BadSpecError, match=r"tasks\.security\.unconfined"):
        build(pod_with(asked(odd)))


@pytest.mark.parametrize("odd", ["text", 1, ["text"], [1]])
def test_fields_of_no_known_form_are_left_to_the_api_server(odd: object) -> None:
    main = {"name": "primary", "image": IMAGE, "lifecycle": odd, "readinessProbe": odd}
    assert build(job_of({"containers": [main]}))


def test_truthy_security_value_counts_as_set() -> None:
    with pytest.raises(BadSpecError, match="privileged is 'yes'"):
        build(pod_with({"securityContext": {"privileged": "yes"}}))
