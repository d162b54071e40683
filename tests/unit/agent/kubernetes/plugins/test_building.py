"""Resources built from the specs that the SDK's plugins write."""

from dataclasses import replace
from typing import Any

import pytest
from flyteidl2.plugins.kubeflow import mpi_pb2, tensorflow_pb2
from google.protobuf import json_format, struct_pb2

from dataplane.agent.runtimes.kubernetes.plugins.registry import all_plugins
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.model.ids import ActionName, RunName
from tests.unit.agent.kubernetes.plugins.jobs import (
    SDK_TASKS,
    build,
    container,
    job_of,
    load_template,
    make_template,
    name_of,
    plugin_of,
    sdk_job,
    variables,
)


def _pods_of(task: str, resource: Any) -> dict[str, Any]:
    """Return the pod template of each role, by the name of its main container."""
    spec = resource["spec"]
    match task:
        case "clustered-task":
            return {"primary": spec["replicatedJobs"][0]["template"]["spec"]["template"]}
        case "dask":
            cluster = spec["cluster"]["spec"]
            return {
                "job-runner": spec["job"],
                "scheduler": cluster["scheduler"],
                "worker": cluster["worker"],
            }
        case "pytorch":
            return {"pytorch": spec["pytorchReplicaSpecs"]["Worker"]["template"]}
        case "ray":
            cluster = spec["rayClusterSpec"]
            return {
                "ray-job-submitter": spec["submitterPodTemplate"],
                "ray-head": cluster["headGroupSpec"]["template"],
                "ray-worker": cluster["workerGroupSpecs"][1]["template"],
            }
        case _:
            return {
                "spark-kubernetes-driver": spec["driver"]["template"],
                "spark-kubernetes-executor": spec["executor"]["template"],
            }


def test_task_type_belongs_to_one_plugin() -> None:
    types = [task_type for plugin in all_plugins() for task_type in plugin.task_types]
    assert len(types) == len(set(types))
    assert {"spark", "ray", "dask", "pytorch", "mpi", "tensorflow", "clustered-task"} < set(types)


@pytest.mark.parametrize("task", SDK_TASKS)
def test_resource_is_named_after_its_attempt(task: str) -> None:
    job = sdk_job(task)
    resource, kind = build(job), plugin_of(job).kind
    assert (resource["apiVersion"], resource["kind"]) == (kind.api_version, kind.name)
    name = name_of(job)
    assert resource["metadata"] == {"namespace": name.namespace, "name": name.name}


@pytest.mark.parametrize("task", SDK_TASKS)
def test_pods_have_action_proxy_and_labels(task: str) -> None:
    for name, pod in _pods_of(task, build(sdk_job(task))).items():
        env = variables(pod, name)
        assert (env["ACTION_NAME"], env["COLOUR"]) == ("a1", "blue")
        assert env["_U_EP_OVERRIDE"] == "volary-proxy.volary.svc:8443"
        assert "volary-proxy" in {volume["name"] for volume in pod["spec"]["volumes"]}
        assert container(pod, name)["image"] == "registry.example/team/training:1"
        assert pod["metadata"]["labels"]["volary.dev/attempt"].endswith("-1")
        assert pod["metadata"]["labels"]["volary.dev/role"]


def test_spark_runs_the_entry_point_in_the_driver() -> None:
    spec = build(sdk_job("spark"))["spec"]
    assert spec["type"] == "Python"
    assert spec["mainApplicationFile"] == "local:///opt/venv/bin/runtime.py"
    assert spec["arguments"][:2] == ["a0", "--inputs"]
    assert spec["arguments"][2].endswith("/r1/a1/inputs.pb")
    assert spec["restartPolicy"] == {"type": "Never"}
    conf = spec["sparkConf"]
    assert conf["spark.pyspark.python"] == "/opt/venv/bin/python3"
    assert conf["spark.executor.instances"] == "3"
    assert conf["spark.kubernetes.executor.limit.cores"] == "2"
    assert conf["spark.kubernetes.executor.podNamePrefix"] == name_of(sdk_job("spark")).name


def test_sparks_driver_may_make_pods_and_is_what_the_task_says_of_it() -> None:
    spec = build(sdk_job("spark"))["spec"]
    assert spec["driver"]["serviceAccount"] == "spark"
    driver, executor = spec["driver"]["template"], spec["executor"]["template"]
    assert driver["spec"]["automountServiceAccountToken"] is True
    assert executor["spec"]["automountServiceAccountToken"] is False
    assert {"key": "spark", "operator": "Exists"} in driver["spec"]["tolerations"]
    assert driver["metadata"]["labels"]["team"] == "a"
    assert variables(driver, "spark-kubernetes-driver")["ROLE"] == "driver"
    assert "team" not in executor["metadata"]["labels"]
    for role, name in (
        (driver, "spark-kubernetes-driver"),
        (executor, "spark-kubernetes-executor"),
    ):
        main = container(role, name)
        assert not {"args", "command"} & main.keys()
        assert main["resources"] == {"limits": {}, "requests": {}}  # Spark's, from its conf


def test_spark_needs_something_to_run() -> None:
    template = load_template("spark")
    del template.custom.fields["mainApplicationFile"]
    with pytest.raises(BadSpecError, match="neither a file nor a class"):
        build(job_of(template))


def test_ray_is_handed_the_command_and_makes_its_own_cluster() -> None:
    spec = build(sdk_job("ray"))["spec"]
    assert spec["entrypoint"].startswith("a0 --inputs s3://bucket/")
    assert "--prev-checkpoint ''" in spec["entrypoint"]
    assert spec["runtimeEnvYAML"] == "pip:\n- numpy\n"
    assert (spec["backoffLimit"], spec["shutdownAfterJobFinishes"]) == (0, False)
    cluster = spec["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"] == {
        "idleTimeoutSeconds": 60,
        "upscalingMode": "Conservative",
        "resources": {
            "requests": {"cpu": "500m", "memory": "512Mi"},
            "limits": {"cpu": "1", "memory": "1Gi"},
        },
    }
    assert [
        (group["groupName"], group["minReplicas"], group["replicas"], group["maxReplicas"])
        for group in cluster["workerGroupSpecs"]
    ] == [("cpu", 0, 2, 2), ("gpu", 0, 1, 3)]


def test_ray_group_with_invalid_name_is_refused() -> None:
    template = load_template("ray")
    custom = json_format.MessageToDict(template.custom)
    custom["rayCluster"]["workerGroupSpec"][0]["groupName"] = "cpu_Group"
    template.custom.CopyFrom(json_format.ParseDict(custom, struct_pb2.Struct()))
    with pytest.raises(BadSpecError, match="worker group 'cpu_Group' of Ray task"):
        build(job_of(template))


def test_rays_pods_are_the_tasks_under_what_each_group_says() -> None:
    cluster = build(sdk_job("ray"))["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["log-color"] == "True"
    assert head["template"]["spec"]["automountServiceAccountToken"] is True  # it scales
    main = container(head["template"], "ray-head")
    assert main["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}
    assert {port["containerPort"] for port in main["ports"]} == {6379, 10001, 8265}

    cpu, gpu = (group["template"] for group in cluster["workerGroupSpecs"])
    assert container(cpu, "ray-worker")["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}
    worker = container(gpu, "ray-worker")
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert worker["ports"] == [{"containerPort": 9999}]
    assert gpu["spec"]["priority"] == 5
    assert gpu["metadata"]["labels"]["team"] == "a"
    assert "nvidia-tesla-a100" in str(gpu["spec"]["nodeSelector"])
    assert "nvidia-tesla-a100" not in str(cpu["spec"])
    for pod, name in ((head["template"], "ray-head"), (cpu, "ray-worker"), (gpu, "ray-worker")):
        assert pod["spec"]["containers"][0]["name"] == name
        assert not {"args", "command"} & pod["spec"]["containers"][0].keys()


def test_rays_submitter_is_small() -> None:
    submitter = build(sdk_job("ray"))["spec"]["submitterPodTemplate"]
    main = container(submitter, "ray-job-submitter")
    assert main["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert not {"args", "command"} & main.keys()


def test_dasks_runner_ends_the_job_and_the_rest_is_deployments() -> None:
    spec = build(sdk_job("dask"))["spec"]
    runner, cluster = spec["job"], spec["cluster"]["spec"]
    assert container(runner, "job-runner")["args"][:2] == ["a0", "--inputs"]
    assert runner["spec"]["restartPolicy"] == "Never"
    scheduler = container(cluster["scheduler"], "scheduler")
    assert scheduler["args"] == ["dask-scheduler"]
    assert scheduler["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert cluster["worker"]["replicas"] == 4
    worker = container(cluster["worker"], "worker")
    assert worker["args"] == [
        *("dask-worker", "--name", "$(DASK_WORKER_NAME)"),
        *("--nthreads", "2", "--memory-limit", str(4 * 2**30)),
    ]
    for role in ("scheduler", "worker"):
        assert cluster[role]["spec"]["restartPolicy"] == "Always"
    service = cluster["scheduler"]["service"]
    assert service["selector"]["dask.org/cluster-name"] == name_of(sdk_job("dask")).name
    assert [port["port"] for port in service["ports"]] == [8786, 8787]


def test_pytorch_is_elastic_and_its_pods_stay_to_be_read() -> None:
    spec = build(sdk_job("pytorch"))["spec"]
    assert spec["runPolicy"] == {
        "cleanPodPolicy": "None",
        "backoffLimit": 2,
        "activeDeadlineSeconds": 600,
    }
    assert spec["elasticPolicy"] == {
        "minReplicas": 2,
        "maxReplicas": 4,
        "maxRestarts": 3,
        "rdzvBackend": "c10d",
    }
    assert spec["nprocPerNode"] == "2"
    assert spec["pytorchReplicaSpecs"].keys() == {"Worker"}
    worker = spec["pytorchReplicaSpecs"]["Worker"]
    assert (worker["replicas"], worker["restartPolicy"]) == (4, "Never")
    main = container(worker["template"], "pytorch")
    assert main["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert any(mount["mountPath"].endswith("/shm") for mount in main["volumeMounts"])


def test_pytorch_that_is_not_elastic_has_a_master() -> None:
    template = load_template("pytorch")
    template.custom.Clear()
    template.custom.update({"workers": 3})
    template.task_type_version = 0
    spec = build(job_of(template))["spec"]
    replicas = spec["pytorchReplicaSpecs"]
    assert {role: each["replicas"] for role, each in replicas.items()} == {
        "Master": 1,
        "Worker": 3,
    }
    assert spec["runPolicy"] == {"cleanPodPolicy": "None", "backoffLimit": 0}
    assert "elasticPolicy" not in spec


def test_clustered_pods_have_the_variables_of_their_rank() -> None:
    spec = build(sdk_job("clustered-task"))["spec"]
    (replicated,) = spec["replicatedJobs"]
    assert (replicated["name"], replicated["replicas"]) == ("workers", 1)
    job = replicated["template"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 3, 3)
    assert job["backoffLimit"] == 0
    env = variables(job["template"], "primary")
    assert {name: env[name] for name in ("NNODES", "NPROC_PER_NODE", "MASTER_PORT")} == {
        "NNODES": "3",
        "NPROC_PER_NODE": "2",
        "MASTER_PORT": "29500",
    }
    assert (env["RDZV_BACKEND"], env["JOBSET_MAX_RESTARTS"]) == ("c10d", "2")
    path = env["JOBSET_NAME"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['jobset.sigs.k8s.io/jobset-name']"
    assert container(job["template"], "primary")["args"][0] == "clustered"
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_jobset_name_leaves_room_for_a_thousand_pod_names() -> None:
    job = sdk_job("clustered-task")
    key = replace(job.assignment.key, name=ActionName("a" * 30))
    key = replace(key, run=replace(key.run, name=RunName("r" * 30)))
    name = name_of(replace(job, assignment=replace(job.assignment, key=key))).name
    assert len(f"{name}-workers-0-999-abcde") <= 63  # what it asks of the last one


def test_jobset_restarts_as_configured_and_freely_on_host_maintenance() -> None:
    spec = build(sdk_job("clustered-task"))["spec"]
    assert spec["failurePolicy"]["maxRestarts"] == 2
    (rule,) = spec["failurePolicy"]["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    policy = spec["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]
    assert policy["rules"][0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_mpis_launcher_runs_the_task_and_its_workers_wait() -> None:
    custom = mpi_pb2.DistributedMPITrainingTask(slots=2)
    custom.worker_replicas.common.replicas = 3
    custom.launcher_replicas.common.image = "registry.example/launcher:1"
    spec = build(job_of(make_template("mpi", custom)))["spec"]
    launcher, worker = (spec["mpiReplicaSpecs"][role] for role in ("Launcher", "Worker"))
    assert (spec["slotsPerWorker"], launcher["replicas"], worker["replicas"]) == (2, 1, 3)
    main = container(launcher["template"], "mpi")
    assert (main["image"], main["args"][0]) == ("registry.example/launcher:1", "a0")
    assert launcher["template"]["spec"]["automountServiceAccountToken"] is True
    assert not container(worker["template"], "mpi").get("args")


def test_mpi_workers_run_their_own_command() -> None:
    custom = mpi_pb2.DistributedMPITrainingTask()
    custom.worker_replicas.replicas = 1
    custom.worker_replicas.command.extend(["/usr/sbin/sshd", "-De"])
    worker = build(job_of(make_template("mpi", custom)))["spec"]["mpiReplicaSpecs"]["Worker"]
    main = container(worker["template"], "mpi")
    assert (main["command"], main["args"]) == (["/usr/sbin/sshd"], ["-De"])


def test_tensorflow_has_the_roles_that_are_asked_for() -> None:
    custom = tensorflow_pb2.DistributedTensorflowTrainingTask()
    custom.worker_replicas.replicas = 2
    custom.ps_replicas.replicas = 1
    custom.ps_replicas.restart_policy = 1
    spec = build(job_of(make_template("tensorflow", custom)))["spec"]
    replicas = spec["tfReplicaSpecs"]
    assert {role: each["replicas"] for role, each in replicas.items()} == {"Worker": 2, "PS": 1}
    assert replicas["PS"]["restartPolicy"] == "OnFailure"
    assert container(replicas["Worker"]["template"], "tensorflow")["args"][0] == "a0"


@pytest.mark.parametrize(("task", "field"), [("dask", "workers"), ("pytorch", "workerReplicas"),
                                             ("clustered-task", "replicas")])  # fmt: skip
def test_job_without_workers_is_refused(task: str, field: str) -> None:
    template = load_template(task)
    del template.custom.fields[field]
    with pytest.raises(BadSpecError, match="requests 0"):
        build(job_of(template))


@pytest.mark.parametrize("task", SDK_TASKS)
def test_nonsense_is_refused_by_name(task: str) -> None:
    template = load_template(task)
    template.custom.Clear()
    first = {"clustered-task": "replicas", "dask": "workers", "pytorch": "workerReplicas",
             "ray": "ttlSecondsAfterFinished", "spark": "sparkConf"}  # fmt: skip
    template.custom.update({first[task]: "seven"})
    with pytest.raises(BadSpecError, match=r"task training\.work|task .*work"):
        build(job_of(template))


@pytest.mark.parametrize("task", SDK_TASKS)
def test_unknown_fields_of_a_later_sdk_are_ignored(task: str) -> None:
    template = load_template(task)
    template.custom.update({"inventedLater": {"by": "somebody"}})
    assert build(job_of(template)) == build(sdk_job(task))
