"""Pods that bring a spec of their own, and PodTemplates of the cluster below them."""

from dataclasses import replace
from typing import Any

import flyte
import pytest
from flyteidl2.core import literals_pb2, tasks_pb2
from flyteidl2.task import run_pb2
from kubernetes.client import (
    V1Container,
    V1ContainerPort,
    V1EmptyDirVolumeSource,
    V1EnvVar,
    V1PodSpec,
    V1Toleration,
    V1Volume,
    V1VolumeMount,
)

from dataplane.agent.kube.objects import Name
from dataplane.agent.runtimes.kubernetes.pods import Placement, PodTemplates
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    CLUSTER,
    IMAGE,
    PROXY,
    build,
    init_container,
    main_container,
    make_raw,
    make_task,
    serialise,
    values_of,
    with_template,
)

TEAM_POD = flyte.PodTemplate(
    primary_container_name="main",
    labels={"team": "blue", "volary.dev/run": "r666"},
    annotations={"note": "mine", "volary.dev/output-prefix": "s3://elsewhere"},
    pod_spec=V1PodSpec(
        containers=[
            V1Container(
                name="beside",
                image="beside:1",
                args=["--run", "{{.runName}}"],
                ports=[V1ContainerPort(container_port=8080)],
            ),
            V1Container(
                name="main",
                env=[V1EnvVar(name="A", value="template"), V1EnvVar(name="B", value="template")],
                volume_mounts=[V1VolumeMount(name="scratch", mount_path="/scratch")],
            ),
        ],
        init_containers=[V1Container(name="first", image="first:1", args=["{{.actionName}}"])],
        volumes=[V1Volume(name="scratch", empty_dir=V1EmptyDirVolumeSource(size_limit="1Gi"))],
        tolerations=[V1Toleration(key="team", operator="Exists")],
        node_selector={"pool": "blue"},
        termination_grace_period_seconds=7,
    ),
)


def in_cluster(spec: dict[str, Any], place: str = "p-development", **more: Any) -> PodTemplates:
    """Return a cluster that has the PodTemplate ``usual``, as its API server completes it."""
    completed = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, **spec}
    template = {"template": {"metadata": {"labels": {"from": "cluster"}}, "spec": completed}}
    return replace(CLUSTER, templates={Name(place, "usual"): template}, **more)


def test_pod_spec_is_kept_and_its_primary_container_is_the_tasks() -> None:
    pod = build(serialise(make_task(pod_template=TEAM_POD, env_vars={"C": "task"})))
    main = main_container(pod, "main")

    assert [each["name"] for each in pod["spec"]["containers"]] == ["beside", "main"]
    assert (main["image"], main["args"][0]) == (IMAGE, "a0")
    assert "{{" not in " ".join(main["args"])
    values = values_of(main)
    assert (values["A"], values["B"], values["C"]) == ("template", "template", "task")
    assert {"name": "scratch", "mountPath": "/scratch"} in main["volumeMounts"]
    assert pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "main"
    assert pod["spec"]["nodeSelector"] == {"pool": "blue"}
    assert pod["spec"]["terminationGracePeriodSeconds"] == 7


def test_placeholders_are_filled_in_everywhere_but_the_token_is_for_the_main_container() -> None:
    pod = build(serialise(make_task(pod_template=TEAM_POD)))
    beside = main_container(pod, "beside")

    assert beside["args"] == ["--run", "r1"]
    assert init_container(pod, "first")["args"] == ["a1"]
    assert beside["ports"] == [{"containerPort": 8080}]
    assert "volumeMounts" not in beside
    assert "env" not in beside


def test_pod_template_labels_are_kept_except_reserved_ones() -> None:
    metadata = build(serialise(make_task(pod_template=TEAM_POD)))["metadata"]

    assert (metadata["labels"]["team"], metadata["labels"]["volary.dev/run"]) == ("blue", "r1")
    assert metadata["annotations"]["note"] == "mine"
    assert metadata["annotations"]["volary.dev/output-prefix"].startswith("s3://bucket/")


def test_pod_template_may_have_only_labels() -> None:
    task = make_task(pod_template=flyte.PodTemplate(labels={"queue": "fast"}))
    pod = build(serialise(task))

    assert pod["metadata"]["labels"]["queue"] == "fast"
    assert main_container(pod)["image"] == IMAGE


def test_run_labels_valid_in_kubernetes_are_on_its_pods() -> None:
    job = serialise(
        make_task(),
        labels=run_pb2.Labels(values={"team": "a b", "no good key": "x", "volary.dev/run": "r2"}),
        annotations=run_pb2.Annotations(values={"why": "it was asked for", "bad key": "x"}),
    )
    remarks: dict[str, str] = {}
    metadata = build(job, replace(CLUSTER, remark=remarks.__setitem__))["metadata"]

    assert metadata["labels"]["team"].startswith("a-b-")
    assert metadata["labels"]["volary.dev/run"] == "r1"
    assert metadata["annotations"]["why"] == "it was asked for"
    assert not {"no good key", "bad key"} & {*metadata["labels"], *metadata["annotations"]}
    assert "'no good key'" in remarks["LabelsLeftOut"]
    assert "'bad key'" in remarks["AnnotationsLeftOut"]
    assert f"'team={metadata['labels']['team']}'" in remarks["LabelsRewritten"]


def test_labels_with_letters_kubernetes_refuses_are_dropped() -> None:
    keys = ["propriétaire", "größe", "team..x/owner", "-x", "x" * 64]
    values = {**dict.fromkeys(keys, "v"), "x/y": "c", "ok": "d"}
    remarks: list[str] = []
    cluster = replace(CLUSTER, remark=lambda reason, _: remarks.append(reason))
    of_run = serialise(make_task(), labels=run_pb2.Labels(values=values))
    of_template = serialise(make_task(pod_template=flyte.PodTemplate(labels=dict(values))))

    for job in (of_run, of_template):
        labels = build(job, cluster)["metadata"]["labels"]
        assert {name for name in labels if not name.startswith("volary.dev/")} == {"x/y", "ok"}
    assert remarks == ["LabelsLeftOut"] * 2


def test_event_about_dropped_labels_is_short() -> None:
    values = {f"ü{number}-{'x' * 100}": "v" for number in range(10_000)}
    remarks: dict[str, str] = {}
    job = serialise(make_task(), labels=run_pb2.Labels(values=values))
    build(job, replace(CLUSTER, remark=remarks.__setitem__))

    assert len(remarks["LabelsLeftOut"]) < 1024
    assert remarks["LabelsLeftOut"].endswith("and 9990 more")


def test_more_annotations_than_an_object_may_have_are_refused() -> None:
    values = {"note": "x" * 257 * 1024}
    job = serialise(make_task(), annotations=run_pb2.Annotations(values=values))

    with pytest.raises(BadSpecError, match="Kubernetes accepts 262144; give the run"):
        build(job)


def test_cluster_settings_apply_to_all_pods() -> None:
    cluster = replace(
        CLUSTER,
        labels={"cost": "ml"},
        annotations={
            "mesh": "off",
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
        },
        image_pull_secrets=["registry"],
        placement=Placement(node_selector={"pool": "tasks"}),
    )
    pod = build(serialise(make_task()), cluster)

    assert pod["metadata"]["labels"]["cost"] == "ml"
    assert pod["metadata"]["annotations"]["mesh"] == "off"
    assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == (
        "true"
    )
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["spec"]["nodeSelector"] == {"pool": "tasks"}


def test_pods_are_not_moved_by_the_autoscaler() -> None:
    annotations = build(serialise(make_task()))["metadata"]["annotations"]

    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_interruptible_task_tolerates_interruptible_nodes() -> None:
    spot = Placement(
        node_selector={"spot": "true"}, tolerations=[{"key": "spot", "operator": "Exists"}]
    )
    cluster = replace(CLUSTER, interruptible=spot)
    task = make_task(interruptible=True)

    assert build(serialise(task), cluster)["spec"]["nodeSelector"] == {"spot": "true"}
    assert build(serialise(task), cluster)["spec"]["tolerations"] == list(spot.tolerations)
    assert "nodeSelector" not in build(serialise(make_task()), cluster)["spec"]
    not_this_time = serialise(task, interruptible={"value": False})
    assert "nodeSelector" not in build(not_this_time, cluster)["spec"]


def test_task_overrides_the_named_template() -> None:
    cluster = in_cluster(
        {
            "containers": [
                {
                    "name": "default",
                    "image": "none",
                    "env": [{"name": "A", "value": "default"}, {"name": "B", "value": "default"}],
                    "resources": {"limits": {"memory": "2Gi", "cpu": "2"}},
                },
                {"name": "primary", "image": "none", "env": [{"name": "A", "value": "primary"}]},
                {"name": "proxy", "image": "proxy:1"},
            ],
            "initContainers": [{"name": "prepare", "image": "prepare:1"}],
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "nodeSelector": {"pool": "usual", "zone": "b"},
            "imagePullSecrets": [{"name": "registry"}],
            "priorityClassName": "batch",
        }
    )
    task = make_task(
        pod_template="usual", env_vars={"B": "task"}, resources=flyte.Resources(memory="1Gi")
    )
    pod = build(serialise(task), cluster)
    main = main_container(pod)

    assert main["image"] == IMAGE
    assert (values_of(main)["A"], values_of(main)["B"]) == ("primary", "task")
    assert main["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert [each["name"] for each in pod["spec"]["containers"]] == ["primary", "proxy"]
    assert init_container(pod, "prepare")["image"] == "prepare:1"
    assert pod["spec"]["priorityClassName"] == "batch"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["labels"]["from"] == "cluster"


def test_template_of_the_agents_namespace_serves_all_namespaces() -> None:
    cluster = in_cluster({"priorityClassName": "x"}, "volary", agent_namespace="volary")

    assert build(serialise(make_task(pod_template="usual")), cluster)["spec"][
        "priorityClassName"
    ] == ("x")


def test_default_template_applies_to_pods_that_name_none() -> None:
    cluster = in_cluster({"priorityClassName": "x"}, default_template="usual")

    assert build(serialise(make_task()), cluster)["spec"]["priorityClassName"] == "x"
    assert (
        "priorityClassName"
        not in build(serialise(make_task()), replace(cluster, default_template="nowhere"))["spec"]
    )


def test_missing_template_is_named() -> None:
    with pytest.raises(
        BadSpecError, match="PodTemplate 'usual' does not exist in the namespace p-development"
    ):
        build(serialise(make_task(pod_template="usual")))


def test_templates_grace_period_counts_unless_it_is_a_default() -> None:
    task = serialise(make_task(pod_template="usual"))

    assert grace(task, in_cluster({"terminationGracePeriodSeconds": 90})) == 90
    assert grace(task, replace(in_cluster({}), grace=CLUSTER.grace * 2)) == 60


def test_requested_grace_period_is_an_annotation() -> None:
    spec = V1PodSpec(containers=[V1Container(name="primary")])
    template = flyte.PodTemplate(pod_spec=spec).with_termination_grace_period(90)
    raw = make_raw(pod_template=template)

    assert asked_grace(serialise(make_task(pod_template=template))) == "90"
    assert asked_grace(raw) == "90"  # not the pod's own, which is for shipping outputs
    assert grace(raw, CLUSTER) > 3600
    assert asked_grace(serialise(make_task())) is None


def asked_grace(job: Job) -> str | None:
    annotations: dict[str, str] = build(job)["metadata"]["annotations"]
    return annotations.get("volary.dev/grace")


def grace(job: Any, cluster: PodTemplates) -> int:
    return int(build(job, cluster)["spec"]["terminationGracePeriodSeconds"])


def test_spec_without_its_primary_container_is_refused_with_the_names() -> None:
    job = serialise(make_task(pod_template=TEAM_POD))
    lost = with_template(job, k8s_pod=tasks_pb2.K8sPod(primary_container_name="gone"))

    with pytest.raises(BadSpecError, match="'beside', 'main' and no container 'gone'"):
        build(lost)


def test_restart_policy_is_refused_in_favour_of_retries() -> None:
    spec = V1PodSpec(containers=[V1Container(name="primary")], restart_policy="OnFailure")

    with pytest.raises(BadSpecError, match="restartPolicy is 'OnFailure'; leave it out"):
        build(serialise(make_task(pod_template=flyte.PodTemplate(pod_spec=spec))))


def test_task_without_container_or_image_is_refused() -> None:
    nothing = tasks_pb2.TaskTemplate(type="sql-task", id={"name": "work.query"})
    job = serialise(make_task())

    with pytest.raises(BadSpecError, match=r"work\.query of type sql-task has neither"):
        build(replace(job, task=replace(job.task, template=nothing)))
    blank = tasks_pb2.TaskTemplate()
    blank.CopyFrom(job.task.template)
    blank.container.image = ""
    with pytest.raises(BadSpecError, match="names no image; give its environment one"):
        build(replace(job, task=replace(job.task, template=blank)))


def test_container_port_and_architecture_are_kept() -> None:
    container = tasks_pb2.Container(
        ports=[tasks_pb2.ContainerPort(container_port=80, name="web")],
        architecture=tasks_pb2.Container.ARM64,
        env=[literals_pb2.KeyValuePair(key="A", value="1")],
    )
    pod = build(with_template(serialise(make_task()), container=container))

    assert main_container(pod)["ports"] == [{"containerPort": 80, "name": "web"}]
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/arch": "arm64"}


def test_building_changes_nothing_that_was_handed_in() -> None:
    cluster = in_cluster({"containers": [{"name": "default", "image": "none", "args": ["x"]}]})
    job = serialise(make_task(pod_template="usual"))
    before = repr(cluster)

    assert build(job, cluster) == build(job, cluster)
    assert repr(cluster) == before


def test_pod_templates_need_the_proxy_address_alone() -> None:
    assert build(serialise(make_task()), PodTemplates(proxy=PROXY))["kind"] == "Pod"
