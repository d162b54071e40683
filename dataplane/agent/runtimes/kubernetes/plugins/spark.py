"""
Run a Spark task: a SparkApplication, whose driver runs the SDK's entry point and makes
executors.

Driver and executors are whole pod templates, so the operator's webhook is not needed; the
fields that Spark computes from its configuration (memory, cores) are omitted. Needs Spark 3 in
the image, and version 2 of the operator.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from flyteidl2.core import tasks_pb2
from flyteidl2.plugins import spark_pb2

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from dataplane.agent.runtimes.kubernetes.plugins.specs import lay_over, read_custom
from dataplane.agent.runtimes.kubernetes.plugins.workers import Workers, operator_failure
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, Replica, security
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.model.reports import FailureKind

_OPERATOR = "the Spark operator"
_DRIVER = "spark-kubernetes-driver"  # the operator makes Spark look for these names
_EXECUTOR = "spark-kubernetes-executor"
_TYPES: Mapping[int, str] = {
    spark_pb2.SparkApplication.PYTHON: "Python",
    spark_pb2.SparkApplication.JAVA: "Java",
    spark_pb2.SparkApplication.SCALA: "Scala",
    spark_pb2.SparkApplication.R: "R",
}
_COMPUTED = ("cpu", "memory")  # by Spark, from its configuration
_HOST_PATHS = re.compile(r"spark\.kubernetes\.(driver|executor)\.volumes\.hostPath\.")
_ACCOUNTS = re.compile(r"spark\.kubernetes\.authenticate\.((driver|executor)\.)?serviceAccountName")
# Keys that act with the operator's rights: its credentials, files, other namespaces, its
# process.
_FOREIGN = re.compile(
    r"spark\.kubernetes\.(authenticate\.|namespace$|context$|file\.upload\.path$"
    r"|(driver|executor)\.(podTemplate|pod\.featureSteps))\w*"
)
_PREPARING = frozenset({"SUBMITTED", "PENDING_RERUN", "INVALIDATING", "SUSPENDED", "RESUMING"})
_RUNNING = frozenset({"RUNNING", "SUCCEEDING", "FAILING", "UNKNOWN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)
    service_account: str = "spark"  # of drivers, which create pods, if nothing names another
    version: str = "3.5.0"  # passed to the operator: a task does not say which version it brings

    @property
    def task_types(self) -> Collection[str]:
        return ("spark",)

    @property
    def kind(self) -> Kind:
        return Kind("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication")

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        custom = read_custom(job, spark_pb2.SparkJob)
        if not custom.mainApplicationFile and not custom.mainClass:
            raise BadSpecError(
                f"Spark task {job.task.name} names neither a file nor a class to run"
            )
        template = job.task.template
        driver = _replica("driver", _DRIVER, template, custom, "driverPod")
        executor = _replica("executor", _EXECUTOR, template, custom, "executorPod")
        driving = pods.template(job, name, driver)
        executing = pods.template(job, name, executor)
        arguments, image = _bare(driving, _DRIVER)
        _, executor_image = _bare(executing, _EXECUTOR)
        account = driving["spec"].get("serviceAccountName") or self.service_account
        spec = {
            "type": _TYPES.get(custom.applicationType, "Python"),
            "mode": "cluster",
            "sparkVersion": self.version,
            "mainApplicationFile": custom.mainApplicationFile,
            "mainClass": custom.mainClass,
            "arguments": arguments,
            "sparkConf": _configure(custom, name, job, pods),
            "hadoopConf": dict(custom.hadoopConf),
            "restartPolicy": {"type": "Never"},
            "driver": {"image": image, "serviceAccount": account, "template": driving},
            "executor": {
                "image": executor_image,
                # Failed executors are kept for reading, and deleted with the driver.
                "deleteOnTermination": False,
                "template": executing,
            },
        }
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.name,
            "metadata": {"namespace": name.namespace, "name": name.name},
            "spec": {field: value for field, value in spec.items() if value not in ("", {}, [])},
        }

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        roles = ("driver", "executor")
        workers = Workers(job=job, around=around, timeouts=self.timeouts, roles=roles)
        text = (resource.get("status") or {}).get("applicationState") or {}
        state, error = text.get("state") or "", str(text.get("errorMessage") or "")
        match state:
            case "":
                return workers.untouched(resource, _OPERATOR)
            case "COMPLETED":
                return workers.succeeded()
            case "FAILED":
                return workers.failed(operator_failure("SparkFailed", error))
            case "SUBMISSION_FAILED":
                failure = operator_failure("SparkSubmissionFailed", error, FailureKind.SYSTEM)
                return workers.failed(failure)
            case _ if state in _PREPARING:
                return workers.preparing(Stage.QUEUED, _camel(state), error)
            case _:
                return workers.running("" if state in _RUNNING else f"Spark says {state}")


def _replica(
    role: str,
    container: str,
    template: tasks_pb2.TaskTemplate,
    custom: spark_pb2.SparkJob,
    pod_field: str,
) -> Replica:
    pod = None
    if custom.HasField(pod_field):
        pod = lay_over(template, getattr(custom, pod_field), container)
    return Replica(role=role, container_name=container, pod=pod, calls_kubernetes=role == "driver")


def _bare(made: Object, name: str) -> tuple[list[str], str]:
    """Remove from the container the fields Spark sets itself; return its arguments and image."""
    container = next(each for each in made["spec"]["containers"] if each["name"] == name)
    for part in ("requests", "limits"):
        amounts = container.get("resources", {}).get(part, {})
        for computed in _COMPUTED:
            amounts.pop(computed, None)
    container.pop("command", None)
    return list(container.pop("args", [])), str(container["image"])


def _require_allowed(conf: Mapping[str, str], job: Job, pods: PodTemplates) -> None:
    """Raise BadSpecError for configuration that bypasses the rules for pods."""
    allowed = pods.security.of(job.assignment.key.run)
    for key, value in conf.items():
        if _HOST_PATHS.match(key) and not allowed.host_path:
            raise BadSpecError(
                f"sparkConf {key} mounts files of the node; leave it out, or have"
                f" {security.CHART}.hostPath set in the values of the agent's chart"
            )
        if _ACCOUNTS.fullmatch(key):
            allowed.require_account(value, pods.service_account, f"sparkConf {key}")
        elif found := _FOREIGN.match(key):
            raise BadSpecError(
                f"sparkConf {found[0]} applies to the process that submits the application, which is the"
                " operator here, with its own rights; leave it out"
            )


def _configure(
    custom: spark_pb2.SparkJob, name: Name, job: Job, pods: PodTemplates
) -> dict[str, str]:
    _require_allowed(custom.sparkConf, job, pods)
    conf: dict[str, str] = {}
    if custom.executorPath:
        conf["spark.pyspark.python"] = custom.executorPath
        conf["spark.pyspark.driver.python"] = custom.executorPath
    conf |= dict(custom.sparkConf)
    for role in ("driver", "executor"):
        asked = conf.get(f"spark.kubernetes.{role}.request.cores") or conf.get(
            f"spark.{role}.cores"
        )
        if asked:
            conf.setdefault(f"spark.kubernetes.{role}.limit.cores", asked)
    conf["spark.kubernetes.executor.podNamePrefix"] = name.name
    return conf


def _camel(state: str) -> str:
    return state.title().replace("_", "")
