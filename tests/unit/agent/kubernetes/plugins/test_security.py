"""An operator's pods are held to what a task's own pod is held to."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flyteidl2.core import tasks_pb2
from google.protobuf import json_format, struct_pb2

from dataplane.agent.runtimes.kubernetes.pods import Security
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.plugins.jobs import SDK_TASKS, build, job_of, load_template
from tests.unit.agent.kubernetes.pods.sdk import CLUSTER


def spark(**conf: str) -> tasks_pb2.TaskTemplate:
    """Return the SDK's Spark task with these entries of its configuration."""
    template = load_template("spark")
    names = {name.replace("__", "."): value for name, value in conf.items()}
    template.custom.get_or_create_struct("sparkConf").update(names)
    return template


def pod_specs(node: Any) -> Iterator[dict[str, Any]]:
    """Find the pod specs that a task's plugin wrote for some of its roles."""
    if isinstance(node, list):
        for each in node:
            yield from pod_specs(each)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "podSpec":
                yield value
            else:
                yield from pod_specs(value)


@pytest.mark.parametrize("task", SDK_TASKS)
def test_distributed_tasks_pod_beyond_baseline_is_refused(task: str) -> None:
    template = load_template(task)
    if template.WhichOneof("target") == "container":
        pod = {"containers": [{"name": "primary", "image": "i"}], "hostPID": True}
        template.k8s_pod.primary_container_name = "primary"
        template.k8s_pod.pod_spec.CopyFrom(json_format.ParseDict(pod, struct_pb2.Struct()))
    else:
        template.k8s_pod.pod_spec.update({"hostPID": True})
    with pytest.raises(BadSpecError, match=r"hostPID is True.* tasks\.security\.hostNamespaces"):
        build(job_of(template))
    assert build(job_of(template), replace(CLUSTER, security=Security(host_namespaces=True)))


@pytest.mark.parametrize("task", ["ray", "spark"])
def test_roles_pod_beyond_baseline_is_refused(task: str) -> None:
    template = load_template(task)
    custom = json_format.MessageToDict(template.custom)
    count = len(list(pod_specs(custom)))
    assert count
    for number in range(count):
        changed = json.loads(json.dumps(custom))
        list(pod_specs(changed))[number]["volumes"] = [{"name": "n", "hostPath": {"path": "/"}}]
        template.custom.CopyFrom(json_format.ParseDict(changed, struct_pb2.Struct()))
        with pytest.raises(BadSpecError, match=r"hostPath .* tasks\.security\.hostPath set"):
            build(job_of(template))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("spark.kubernetes.driver.volumes.hostPath.x.mount.path", "tasks.security.hostPath"),
        ("spark.kubernetes.executor.volumes.hostPath.x.options.path", "tasks.security.hostPath"),
        (
            "spark.kubernetes.authenticate.driver.serviceAccountName",
            "'x', as which no task .* tasks.security.serviceAccounts",
        ),
        ("spark.kubernetes.authenticate.submission.oauthTokenFile", "its own rights"),
        ("spark.kubernetes.namespace", "its own rights"),
        ("spark.kubernetes.driver.podTemplateFile", "its own rights"),
        ("spark.kubernetes.executor.pod.featureSteps", "its own rights"),
        ("spark.kubernetes.file.upload.path", "its own rights"),
    ],
)
def test_sparks_configuration_does_not_go_round_the_rules(key: str, message: str) -> None:
    with pytest.raises(BadSpecError, match=rf"sparkConf {key}|{message}") as refused:
        build(job_of(spark(**{key: "x"})))
    assert "sparkConf spark.kubernetes." in str(refused.value)


def test_other_spark_configuration_is_kept() -> None:
    conf = {
        "spark.kubernetes.namespaceless": "1",
        "spark.kubernetes.executor.volumes.emptyDir.x.mount.path": "/x",
        "spark.kubernetes.authenticate.driver.serviceAccountName": "etl",
    }
    pods = replace(CLUSTER, security=Security(service_accounts=("etl",)))
    made = build(job_of(spark(**conf)), pods)["spec"]["sparkConf"]
    assert conf.items() <= made.items()
