"""Arguments, variables and files of the SDK's contract in a pod."""

import json
from collections.abc import Mapping
from dataclasses import replace

import flyte
import pytest
from flyteidl2.core import literals_pb2, security_pb2
from flyteidl2.task import run_pb2
from kubernetes.client import (
    V1Container,
    V1EnvVar,
    V1EnvVarSource,
    V1ObjectFieldSelector,
    V1PodSpec,
)

from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, Security
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    CLUSTER,
    FENCE,
    IMAGE,
    PROXY,
    build,
    main_container,
    make_raw,
    make_task,
    serialise,
    values_of,
    volume,
)

RAW = make_raw()
REPLACEABLE = replace(RAW.assignment, replaceable=True)


def envs(**values: str) -> run_pb2.Envs:
    return run_pb2.Envs(
        values=[literals_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]
    )


def test_task_pod_has_one_container_with_the_sdks_command() -> None:
    pod = build(serialise(make_task(), attempt=2))

    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    assert pod["metadata"]["namespace"] == "p-development"
    (container,) = pod["spec"]["containers"]
    assert (container["name"], container["image"]) == ("primary", IMAGE)
    assert "command" not in container
    args = container["args"]
    prefix = "s3://bucket/acme/p/development/r1/a1"
    assert args[0] == "a0"
    assert raw(args) == {
        "--inputs": f"{prefix}/inputs.pb",
        "--outputs-path": f"{prefix}/2",
        "--version": "v1",
        "--raw-data-path": "s3://bucket/raw/r1/a1",
        "--checkpoint-path": f"{prefix}/2/_flytecheckpoints",
        "--prev-checkpoint": f"{prefix}/1/_flytecheckpoints",
        "--run-name": "r1",
        "--name": "a1",
        "--run-start-time": "2026-06-01T12:00:00+00:00",
    }
    assert not any("{{" in arg for arg in args)


def raw(args: list[str]) -> Mapping[str, str]:
    options = args[1 : args.index("--resolver")]
    return dict(zip(options[::2], options[1::2], strict=True))


def test_pod_has_the_variables_of_the_contract() -> None:
    values = values_of(main_container(build(serialise(make_task(), attempt=3))))

    assert values["_U_ORG_NAME"] == "acme"
    assert values["FLYTE_INTERNAL_EXECUTION_PROJECT"] == "p"
    assert values["FLYTE_INTERNAL_EXECUTION_DOMAIN"] == "development"
    assert (values["RUN_NAME"], values["ACTION_NAME"]) == ("r1", "a1")
    assert values["_U_RUN_BASE"] == "s3://bucket/acme/p/development/r1"
    assert (values["_U_EP_OVERRIDE"], values["_U_INSECURE"]) == (PROXY.address, "false")
    assert values["_U_USE_ACTIONS"] == "1"
    assert values["FLYTE_ATTEMPT_NUMBER"] == "2"
    assert values["FLYTE_ADMIN_CACERTFILEPATH"] == "/var/run/volary/ca.crt"
    assert values["FLYTE_AUTH_TYPE"] == "ExternalCommand"
    assert json.loads(values["FLYTE_AUTH_COMMAND"]) == ["cat", "/var/run/volary/token"]


def test_ordinary_pod_has_no_variables_of_a_worker() -> None:
    values = values_of(main_container(build(serialise(make_task()))))

    assert not {"RANK", "TORCHELASTIC_RUN_ID", "FLYTE_CLUSTERED_WORKER"} & set(values)


def test_run_variables_override_the_tasks_and_system_variables_override_both() -> None:
    task = make_task(env_vars={"MINE": "task", "LEVEL": "10", "_U_ORG_NAME": "mallory"})
    values = values_of(
        main_container(build(serialise(task, envs=envs(MINE="run", ACTION_NAME="a9"))))
    )

    assert (values["MINE"], values["LEVEL"]) == ("run", "10")
    assert (values["_U_ORG_NAME"], values["ACTION_NAME"]) == ("acme", "a1")


def test_pod_variables_are_unique() -> None:
    task = make_task(env_vars={"RUN_NAME": "mine", "A": "1"})
    names = [
        entry["name"] for entry in main_container(build(serialise(task, envs=envs(A="2"))))["env"]
    ]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("text", ["$(RUN_NAME)", "$$", "a$b", "$$(RUN_NAME)", "$(", "100$"])
def test_variable_value_is_not_expanded(text: str) -> None:
    task = make_task(env_vars={"MINE": text})
    container = main_container(build(serialise(task, envs=envs(ALSO=text))))
    written = {entry["name"]: entry.get("value", "") for entry in container["env"]}

    assert expand(written["MINE"]) == expand(written["ALSO"]) == text


def expand(text: str) -> str:
    """Kubernetes' expansion, where no variable is found: ``$$`` becomes ``$``."""
    expanded, at = "", 0
    while at < len(text):
        if text[at] == "$" and text[at + 1 : at + 2] == "$":
            at += 1
        elif text[at] == "$" and text[at + 1 : at + 2] == "(" and ")" in text[at:]:
            return f"a reference was left in {text!r}"
        expanded += text[at]
        at += 1
    return expanded


def test_pod_template_references_are_kept() -> None:
    address = V1EnvVarSource(field_ref=V1ObjectFieldSelector(field_path="status.podIP"))
    template = flyte.PodTemplate(
        pod_spec=V1PodSpec(
            containers=[
                V1Container(
                    name="primary",
                    env=[
                        V1EnvVar(name="ADDRESS", value_from=address),
                        V1EnvVar(name="URL", value="http://$(ADDRESS)/$(RUN_NAME)"),
                    ],
                )
            ]
        )
    )
    env = main_container(build(serialise(make_task(pod_template=template))))["env"]
    names = [entry["name"] for entry in env]

    assert {"name": "URL", "value": "http://$(ADDRESS)/$(RUN_NAME)"} in env
    assert names.index("RUN_NAME") < names.index("ADDRESS") < names.index("URL")


def test_pod_mounts_token_and_certificate_of_the_proxy() -> None:
    pod = build(serialise(make_task()))

    (mount,) = main_container(pod)["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/var/run/volary", True)
    token, certificate = volume(pod, mount["name"])["projected"]["sources"]
    assert token == {
        "serviceAccountToken": {
            "audience": "volary-proxy",
            "expirationSeconds": 3600,
            "path": "token",
        }
    }
    assert certificate == {"configMap": {"name": "volary-proxy"}}


def test_pod_has_no_token_of_the_kubernetes_api() -> None:
    spec = build(serialise(make_task()))["spec"]

    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


def test_bucket_keys_are_referenced_by_secret_name() -> None:
    cluster = PodTemplates(proxy=PROXY, env_secret="bucket-access")  # noqa: S106 - a name
    container = main_container(build(serialise(make_task()), cluster))

    assert container["envFrom"] == [{"secretRef": {"name": "bucket-access"}}]


def test_pods_get_the_storage_account_of_azure_unless_their_task_sets_one() -> None:
    cluster = PodTemplates(proxy=PROXY, azure_account="ours")
    own = make_task(env_vars={"AZURE_STORAGE_ACCOUNT_NAME": "theirs"})

    for task, account in ((make_task(), "ours"), (own, "theirs")):
        variables = main_container(build(serialise(task), cluster))["env"]
        assert {"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": account} in variables


def test_service_account_is_the_runs_then_the_tasks_then_the_clusters() -> None:
    cluster = PodTemplates(
        proxy=PROXY,
        service_account="cluster",
        security=Security(service_accounts=("run", "task", "template")),
    )
    run = security_pb2.SecurityContext(run_as=security_pb2.Identity(k8s_service_account="run"))
    task = make_task()
    template = flyte.PodTemplate(
        pod_spec=V1PodSpec(
            containers=[V1Container(name="primary")], service_account_name="template"
        )
    )
    of_task = make_task(pod_template=template, service_account="task")

    assert build(serialise(of_task), cluster)["spec"]["serviceAccountName"] == "task"
    of_template = make_task(pod_template=template)
    assert build(serialise(of_template), cluster)["spec"]["serviceAccountName"] == "template"
    assert "serviceAccountName" not in build(serialise(task))["spec"]
    assert build(serialise(task), cluster)["spec"]["serviceAccountName"] == "cluster"
    said_so = build(serialise(of_task, security_context=run), cluster)
    assert said_so["spec"]["serviceAccountName"] == "run"


def test_pod_restarts_nothing_and_keeps_its_last_log_lines() -> None:
    pod = build(serialise(make_task()))

    assert pod["spec"]["restartPolicy"] == "Never"
    assert main_container(pod)["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert "activeDeadlineSeconds" not in pod["spec"]  # it would count the image's pull


def test_replaceable_task_is_fenced() -> None:
    assert "livenessProbe" not in main_container(build(serialise(make_task())))

    probe = main_container(build(serialise(make_task(), replaceable=True)))["livenessProbe"]
    assert probe["httpGet"] == {
        "host": "10.96.0.7",
        "port": 8443,
        "path": "/fence",
        "scheme": "HTTPS",
    }
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (5, 3)


def test_fence_probe_stops_a_started_container_in_seconds() -> None:
    container = main_container(build(serialise(make_task(), replaceable=True)))
    alive, begun = container["livenessProbe"], container["startupProbe"]

    assert begun["httpGet"] == alive["httpGet"]
    assert (begun["periodSeconds"], begun["timeoutSeconds"], begun["failureThreshold"]) == (1, 1, 3)


def test_fence_delay_covers_probe_and_grace_period() -> None:
    # The kubelet waits for the pod's grace, whatever a probe's, for the last of its containers.
    for job in (serialise(make_task(), replaceable=True), replace(RAW, assignment=REPLACEABLE)):
        pod = build(job)
        probe = main_container(pod)["livenessProbe"]
        most = (
            probe["periodSeconds"] * probe["failureThreshold"]
            + probe["timeoutSeconds"]
            + pod["spec"]["terminationGracePeriodSeconds"]
        )
        assert FENCE.takes.total_seconds() >= most


def test_pod_with_grace_period_over_the_fences_is_refused() -> None:
    spec = V1PodSpec(containers=[V1Container(name="primary")], termination_grace_period_seconds=120)
    task = make_task(pod_template=flyte.PodTemplate(pod_spec=spec))

    assert build(serialise(task))["spec"]["terminationGracePeriodSeconds"] == 120
    with pytest.raises(
        BadSpecError, match=r"is 120, and a task .* has at most 10; lower it, or set"
    ):
        build(serialise(task, replaceable=True))


def test_liveness_probe_of_fenced_pod_is_refused_with_remedies() -> None:
    container = V1Container(name="primary", liveness_probe={"tcpSocket": {"port": 80}})
    template = flyte.PodTemplate(pod_spec=V1PodSpec(containers=[container]))
    task = make_task(pod_template=template)

    assert "tcpSocket" in main_container(build(serialise(task)))["livenessProbe"]
    with pytest.raises(BadSpecError, match=r"primary has a livenessProbe.*disconnect policy"):
        build(serialise(task, replaceable=True))


def test_pod_gains_no_privileges_by_default() -> None:
    pod = build(serialise(make_task()), CLUSTER)

    assert pod["spec"]["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert main_container(pod)["securityContext"] == {"allowPrivilegeEscalation": False}
    assert "workingDir" not in main_container(pod)


def test_template_with_allowed_privileges_stays_valid() -> None:
    template = flyte.PodTemplate().allow_fuse(privileged=True)
    cluster = replace(CLUSTER, security=Security(privileged=True, host_path=True, unconfined=True))
    container = main_container(build(serialise(make_task(pod_template=template)), cluster))

    assert container["securityContext"]["privileged"] is True
    assert "allowPrivilegeEscalation" not in container["securityContext"]
