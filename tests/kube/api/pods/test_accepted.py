"""Every pod that is built is one to the API server, field by field."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import flyte
import pytest
from flyteidl2.core import tasks_pb2
from kubernetes.client import V1Container, V1PodSpec, V1SecurityContext

from dataplane.agent.kube.objects import Name, Object, name_attempt
from dataplane.agent.runtimes.kubernetes.pods import Placement, PodTemplates, Replica, Security
from dataplane.agent.runtimes.protocol import Job
from tests.kube.client import KubeClient, KubeError
from tests.unit.agent.kubernetes.pods import sdk
from tests.unit.agent.kubernetes.pods.sdk import (
    make_raw,
    make_task,
    serialise,
    with_template,
)
from tests.unit.agent.kubernetes.pods.test_pod_templates import TEAM_POD

STRICTLY = "dryRun=All&fieldValidation=Strict"
VALUE = "correct-horse-battery-staple"

CLUSTER = replace(
    sdk.CLUSTER, security=Security(host_path=True, unconfined=True, capabilities=("SYS_ADMIN",))
)
CLUSTER_WITH_ALL = replace(
    CLUSTER,
    env_secret="bucket-access",  # noqa: S106 - a name
    image_pull_secrets=["registry"],
    labels={"cost": "ml"},
    annotations={"mesh": "off"},
    placement=Placement(node_selector={"pool": "tasks"}),
    interruptible=Placement(
        node_selector={"spot": "true"},
        tolerations=[{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    ),
)


def whole_gpu() -> Job:
    asked = tasks_pb2.GPUAccelerator(device="nvidia-tesla-a100", unpartitioned=True)
    extended = tasks_pb2.ExtendedResources(gpu_accelerator=asked)
    return with_template(serialise(make_task()), extended_resources=extended)


def raw_pod() -> Job:
    container = V1Container(name="primary", security_context=V1SecurityContext(run_as_user=1000))
    template = flyte.PodTemplate(pod_spec=V1PodSpec(containers=[container]))
    return make_raw(pod_template=template)


JOBS: Mapping[str, Callable[[], Job]] = {
    "plain": lambda: serialise(make_task()),
    "a retry that may be replaced": lambda: serialise(make_task(), attempt=2, replaceable=True),
    "resources": lambda: serialise(
        make_task(resources=flyte.Resources(cpu=(1, 2), memory="1Gi", disk="1Gi", shm="1Gi"))
    ),
    "half a core": lambda: serialise(make_task(resources=flyte.Resources(cpu=0.5))),
    "gpu": lambda: serialise(make_task(resources=flyte.Resources(gpu="T4:2", shm="auto"))),
    "part of a gpu": lambda: serialise(
        make_task(resources=flyte.Resources(gpu=flyte.GPU("A100", 1, partition="1g.5gb")))
    ),
    "whole gpu": whole_gpu,
    "secrets": lambda: serialise(
        make_task(
            secrets=["key", flyte.Secret("TOKEN", group="Hub", mount=Path("/etc/flyte/secrets"))]
        )
    ),
    "interruptible": lambda: serialise(make_task(interruptible=True)),
    "environment": lambda: serialise(make_task(env_vars={"A": "$(B) $$", "with.dot": "1"})),
    "pod template": lambda: serialise(make_task(pod_template=TEAM_POD)),
    "fuse": lambda: serialise(make_task(pod_template=flyte.PodTemplate().allow_fuse())),
    "raw container": make_raw,
    "raw container that may be replaced": lambda: replace(
        make_raw(), assignment=replace(make_raw().assignment, replaceable=True)
    ),
    "raw pod": raw_pod,
}


@pytest.mark.parametrize("cluster", [CLUSTER, CLUSTER_WITH_ALL], ids=["small", "large"])
@pytest.mark.parametrize("make_job", JOBS.values(), ids=JOBS.keys())
async def test_kinds_of_pods_are_accepted(
    make_job: Callable[[], Job], cluster: PodTemplates, api: KubeClient, namespace: str
) -> None:
    pod = build_in(namespace, make_job(), cluster)

    accepted = await api.create(f"{namespace}/pods?{STRICTLY}", pod)

    assert accepted["metadata"]["labels"] == pod["metadata"]["labels"]
    assert accepted["spec"]["restartPolicy"] == "Never"
    mounts = {each["mountPath"] for each in accepted["spec"]["containers"][-1]["volumeMounts"]}
    assert "/var/run/secrets/kubernetes.io/serviceaccount" not in mounts


def build_in(namespace: str, job: Job, cluster: PodTemplates) -> Object:
    where = namespace.rpartition("/")[2]
    return cluster.build(job, name_attempt(job.assignment, where))


async def test_role_of_a_distributed_job_is_accepted(api: KubeClient, namespace: str) -> None:
    replica = Replica(role="worker", container_name="pytorch", env={"A": "1"})
    job = serialise(make_task(), replaceable=True)
    where = namespace.rpartition("/")[2]
    made = CLUSTER_WITH_ALL.template(job, name_attempt(job.assignment, where), replica)
    metadata = {**made["metadata"], "generateName": "worker-"}

    await api.create(f"{namespace}/pods?{STRICTLY}", {"metadata": metadata, "spec": made["spec"]})


async def test_clusters_template_is_merged_below_the_pod(api: KubeClient, namespace: str) -> None:
    containers = [
        {"name": "default", "image": "none", "env": [{"name": "A", "value": "1"}]},
        {"name": "primary", "image": "none", "imagePullPolicy": "Always"},
    ]
    kept = await api.create(
        f"{namespace}/podtemplates",
        {
            "metadata": {"name": "usual"},
            "template": {"spec": {"containers": containers, "nodeSelector": {"pool": "usual"}}},
        },
    )
    where = namespace.rpartition("/")[2]
    cluster = replace(CLUSTER, templates={Name(where, "usual"): kept})
    job = serialise(make_task(pod_template="usual"))

    accepted = await api.create(f"{namespace}/pods?{STRICTLY}", build_in(namespace, job, cluster))
    (container,) = accepted["spec"]["containers"]
    assert container["imagePullPolicy"] == "Always"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert {"name": "A", "value": "1"} in container["env"]
    assert accepted["spec"]["nodeSelector"] == {"pool": "usual"}


async def test_pods_contain_no_secret_values(api: KubeClient, namespace: str) -> None:
    for name in ("volary-secrets", "hub", "bucket-access"):
        await api.create(
            f"{namespace}/secrets",
            {"metadata": {"name": name}, "stringData": {"key": VALUE, "TOKEN": VALUE}},
        )
    for make_job in JOBS.values():
        pod = build_in(namespace, make_job(), CLUSTER_WITH_ALL)
        accepted = await api.create(f"{namespace}/pods?{STRICTLY}", pod)

        assert VALUE not in json.dumps(accepted)


async def test_api_server_rejects_unknown_fields(api: KubeClient, namespace: str) -> None:
    pod = build_in(namespace, serialise(make_task()), CLUSTER)
    spec = {**pod["spec"], "noSuchField": 1}

    with pytest.raises(KubeError, match="noSuchField"):
        await api.create(f"{namespace}/pods?{STRICTLY}", {**pod, "spec": spec})
