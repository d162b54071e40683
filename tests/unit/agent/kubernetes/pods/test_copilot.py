"""Raw containers: who brings their inputs and ships their outputs."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import flyte
import pytest
from flyteidl2.core import interface_pb2, tasks_pb2
from kubernetes.client import V1Container, V1PodSpec, V1SecurityContext

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError
from dataplane.copilot.cli import HANDOFF_VARIABLE
from dataplane.copilot.handoff import Format, Handoff, Layout, parse_handoff
from tests.unit.agent.kubernetes.pods.sdk import (
    CLUSTER,
    FENCE,
    PROXY,
    build,
    init_container,
    main_container,
    make_raw,
    make_task,
    serialise,
    values_of,
    volume,
    with_template,
)


def handoff_of(container: Object) -> Handoff:
    return parse_handoff(values_of(container)[HANDOFF_VARIABLE].encode())


def test_copilot_is_an_init_container_and_a_native_sidecar() -> None:
    pod = build(make_raw())
    download, sidecar = pod["spec"]["initContainers"]

    assert (download["name"], sidecar["name"]) == ("volary-download", "volary-sidecar")
    assert download["command"] == ["volary-copilot", "download", "--log-json"]
    assert sidecar["command"] == ["volary-copilot", "sidecar", "--log-json"]
    assert "restartPolicy" not in download
    assert sidecar["restartPolicy"] == "Always"
    assert download["image"] == sidecar["image"] == "registry.test/copilot:1"


def test_they_share_directories_with_the_task_and_nothing_more_than_they_need() -> None:
    pod = build(make_raw(input_data_dir="/in", output_data_dir="/out"))

    def mounts(container: Object) -> dict[str, str]:
        return {each["mountPath"]: each["name"] for each in container["volumeMounts"]}

    proxy = {"/var/run/volary": "volary-proxy"}
    inputs, outputs = {"/in": "volary-inputs"}, {"/out": "volary-outputs"}
    assert mounts(init_container(pod, "volary-download")) == {**inputs, **proxy}
    assert mounts(init_container(pod, "volary-sidecar")) == {**outputs, **proxy}
    assert mounts(main_container(pod)) == {**inputs, **outputs, **proxy}
    assert volume(pod, "volary-inputs")["emptyDir"] == {}


def test_copilot_parses_the_handoff() -> None:
    pod = build(make_raw(metadata_format="YAML", file_input_layout="NAMED_DIR"))
    last_reported = handoff_of(init_container(pod, "volary-sidecar"))

    assert last_reported.links.endpoint == f"https://{PROXY.address}/copilot"
    assert last_reported.links.token_file == Path("/var/run/volary/token")
    assert last_reported.links.ca_file == Path("/var/run/volary/ca.crt")
    prefix = "s3://bucket/acme/p/development/r1/a1"
    assert (last_reported.inputs.uri, last_reported.inputs.path) == (
        f"{prefix}/inputs.pb",
        Path("/var/inputs"),
    )
    assert (last_reported.inputs.format, last_reported.inputs.layout) == (
        Format.YAML,
        Layout.NAMED_DIR,
    )
    assert (last_reported.outputs.prefix, last_reported.outputs.path) == (
        f"{prefix}/1",
        Path("/var/outputs"),
    )
    assert last_reported.outputs.raw_prefix == "s3://bucket/raw/r1/a1"
    interface = interface_pb2.VariableMap.FromString(last_reported.outputs.interface)
    assert [entry.key for entry in interface.variables] == ["greeting"]


def test_sidecar_grace_covers_upload_and_its_error() -> None:
    pod = build(make_raw())
    last_reported = handoff_of(init_container(pod, "volary-sidecar"))

    assert pod["spec"]["terminationGracePeriodSeconds"] > last_reported.seconds.grace + 30
    assert build(serialise(make_task()))["spec"]["terminationGracePeriodSeconds"] == 30


def test_replaceable_task_uploads_before_its_fence_closes() -> None:
    job = make_raw()
    pod = build(replace(job, assignment=replace(job.assignment, replaceable=True)))
    last_reported = handoff_of(init_container(pod, "volary-sidecar"))

    assert last_reported.seconds.grace == FENCE.shipping.total_seconds()
    assert pod["spec"]["terminationGracePeriodSeconds"] == last_reported.seconds.grace + 35


def test_sidecar_waits_for_the_longest_tasks() -> None:
    def whole(job: Job) -> float:
        return handoff_of(init_container(build(job), "volary-sidecar")).seconds.whole

    assert whole(make_raw()) > timedelta(days=365).total_seconds()
    assert whole(make_raw(timeout=timedelta(hours=2))) == pytest.approx(4 * 3600)


def test_raw_container_command_is_not_expanded() -> None:
    args = main_container(build(make_raw()))["args"]

    assert args == [
        "sh",
        "-c",
        "cat /var/inputs/name > /var/outputs/greeting; echo $$$ $$(date)",
    ]


def test_copilot_container_is_small_and_unprivileged() -> None:
    for container in build(make_raw())["spec"]["initContainers"]:
        assert container["resources"]["requests"] == {"cpu": "100m", "memory": "128Mi"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
            "readOnlyRootFilesystem": True,
            "runAsUser": 0,
        }
        assert "envFrom" not in container


def make_raw_pod(security: V1SecurityContext | None = None) -> Job:
    spec = V1PodSpec(
        containers=[V1Container(name="primary", security_context=security)],
        init_containers=[V1Container(name="mine", image="mine:1")],
    )
    return make_raw(pod_template=flyte.PodTemplate(pod_spec=spec))


def test_copilot_runs_as_the_tasks_user() -> None:
    as_caller = make_raw_pod(V1SecurityContext(run_as_user=1000))
    as_stranger = make_raw_pod(V1SecurityContext(run_as_non_root=True))

    for job, user in ((as_caller, 1000), (as_stranger, None)):
        security = init_container(build(job), "volary-sidecar")["securityContext"]
        assert security.get("runAsUser") == user
        assert "add" not in security["capabilities"]


def test_raw_container_with_pod_template_has_the_default_directories() -> None:
    pod = build(make_raw_pod())
    names = [container["name"] for container in pod["spec"]["initContainers"]]

    assert names == ["volary-download", "volary-sidecar", "mine"]
    assert handoff_of(init_container(pod, "volary-download")).inputs.path == Path("/var/inputs")


def test_sdk_task_has_no_copilot() -> None:
    assert "initContainers" not in build(serialise(make_task()))["spec"]


def test_copilot_containers_exist_only_for_data() -> None:
    def beside(job: Job, cluster: PodTemplates = CLUSTER) -> list[str]:
        return [each["name"] for each in build(job, cluster)["spec"].get("initContainers", [])]

    nothing = make_raw(inputs={}, outputs={}, arguments=["true"])
    only_inputs, only_outputs = make_raw(outputs={}), make_raw(inputs={}, arguments=["true"])
    assert beside(only_inputs) == ["volary-download"]
    assert beside(only_outputs) == ["volary-sidecar"]
    assert beside(nothing) == []
    assert beside(nothing, replace(CLUSTER, copilot=None)) == []
    for job in (nothing, only_inputs):
        pod = build(job)
        assert pod["spec"]["terminationGracePeriodSeconds"] == 30  # nothing is to be shipped
        assert "/var/outputs" in {each["mountPath"] for each in main_container(pod)["volumeMounts"]}


def test_raw_container_without_copilot_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        BadSpecError,
        match="no copilot; ask the cluster's operator to set the agent's copilot image",
    ):
        build(make_raw(), PodTemplates(proxy=PROXY))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ("/data", "/data", "are both /data; choose two"),
        ("data", "/out", "'data' is not an absolute path"),
        ("/in", "/", "'/' is not an absolute path below /"),
    ],
)
def test_directories_that_cannot_be_are_refused(inputs: str, outputs: str, message: str) -> None:
    config = tasks_pb2.DataLoadingConfig(enabled=True, input_path=inputs, output_path=outputs)
    job = with_template(make_raw(), container=tasks_pb2.Container(data_config=config))

    with pytest.raises(BadSpecError, match=message):
        build(job)


def test_pod_that_hides_the_end_from_the_sidecar_is_refused() -> None:
    spec = V1PodSpec(containers=[V1Container(name="primary")], share_process_namespace=True)
    template = flyte.PodTemplate(pod_spec=spec)

    assert build(serialise(make_task(pod_template=template)))["spec"]["shareProcessNamespace"]
    with pytest.raises(BadSpecError, match="shareProcessNamespace cannot be used with the copilot"):
        build(make_raw(pod_template=template))


def test_cluster_settings_change_the_copilot() -> None:
    assert CLUSTER.copilot is not None
    copilot = replace(
        CLUSTER.copilot,
        command=("python", "-m", "dataplane.copilot"),
        image_pull_policy="Never",
        ship_within=timedelta(minutes=2),
    )
    pod = build(make_raw(), replace(CLUSTER, copilot=copilot))
    sidecar = init_container(pod, "volary-sidecar")

    assert sidecar["command"][:3] == ["python", "-m", "dataplane.copilot"]
    assert sidecar["imagePullPolicy"] == "Never"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 155
