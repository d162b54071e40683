"""Build a task's pod by merging its layers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from flyteidl2.core import tasks_pb2
from flyteidl2.task import run_pb2

from dataplane.agent.kube.objects import GRACE_ANNOTATION, Name, Object
from dataplane.agent.runtimes.environment import substitute
from dataplane.agent.runtimes.kubernetes.pods import (
    copilot,
    devices,
    fencing,
    identity,
    metadata,
    resources,
    secrets,
    validity,
)
from dataplane.agent.runtimes.kubernetes.pods.environment import (
    compose_environment,
    literal,
    pod_variables,
    variables,
)
from dataplane.agent.runtimes.kubernetes.pods.merging import merge, merge_template
from dataplane.agent.runtimes.kubernetes.pods.replicas import Replica
from dataplane.agent.runtimes.kubernetes.pods.security import Security
from dataplane.agent.runtimes.kubernetes.pods.settings import (
    ACCELERATORS,
    Accelerator,
    Copilot,
    Fence,
    Placement,
    ProxyAccess,
)
from dataplane.agent.runtimes.kubernetes.pods.task_layer import TaskPodLayer, read_task_layer
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError

_KUBERNETES_GRACE = 30  # the API server's default for a PodTemplate without a grace period


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplates:
    """
    Builds pods for one cluster from its settings.

    ``templates`` are the cluster's PodTemplates, of the task's namespace and of the agent's; it
    may be a mapping that an informer keeps up to date.
    """

    proxy: ProxyAccess
    copilot: Copilot | None = None  # None: raw containers with data are refused
    fence: Fence | None = None  # None: replaceable tasks are stopped by the agent alone
    templates: Mapping[Name, Object] = field(default_factory=dict)
    default_template: str = ""
    agent_namespace: str = ""
    service_account: str = ""  # "": the namespace's default
    azure_account: str = ""  # which the SDK reads an abfs:// store of
    env_secret: str = ""  # a Secret of the task's namespace, all keys of which are variables
    image_pull_secrets: Sequence[str] = ()
    located: secrets.Located = field(default_factory=dict)  # the attempt's own
    defaults: Mapping[str, str] = field(default_factory=lambda: {"cpu": "1", "memory": "1Gi"})
    maxima: Mapping[str, str] = field(default_factory=dict)  # of one container
    security: Security = field(default_factory=Security)
    accelerators: Mapping[str, Accelerator] = field(default_factory=lambda: ACCELERATORS)
    placement: Placement = field(default_factory=Placement)
    interruptible: Placement = field(default_factory=Placement)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    grace: timedelta = timedelta(seconds=30)
    remark: metadata.Remark = lambda _, __: None  # receives what Kubernetes refuses

    def build(self, job: Job, name: Name) -> Object:
        """
        Return the attempt's pod; BadSpecError, with a message for the task's author, if
        impossible.
        """
        made = self.template(job, name)
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name.name, "namespace": name.namespace, **made["metadata"]},
            "spec": made["spec"],
        }

    def template(self, job: Job, name: Name, replica: Replica | None = None) -> Object:
        """
        Return ``{"metadata": {labels, annotations}, "spec": …}``: a PodTemplateSpec.

        ``name`` is that of the attempt's resource. Without ``replica`` it is the task's own
        pod, else one of a distributed job's.
        """
        own = read_task_layer(job.task.template, replica)
        named = self._named_template(job, name.namespace)
        spec = merge_template(
            merge(self._defaults(replica), named.get("spec") or {}), own.spec, own.primary
        )
        about = named.get("metadata") or {}
        annotations = (self.annotations, about.get("annotations") or {}, own.annotations)
        described = metadata.compose_annotations(job, own.primary, *annotations, remark=self.remark)
        self.security.of(job.assignment.key.run).require_allowed(spec, described)
        spec = self._complete(spec, own, job)
        spec["restartPolicy"] = "Never" if replica is None else replica.restart_policy
        grace, is_asked_for = self._grace(job, own, named)
        spec["terminationGracePeriodSeconds"] = round(grace.total_seconds())
        if replica is None:
            spec = self._add_copilot(spec, own.primary, job)
        validity.require_valid(spec)
        labels = (self.labels, about.get("labels") or {}, own.labels)
        role = "" if replica is None else replica.role
        asked = {GRACE_ANNOTATION: str(round(grace.total_seconds()))} if is_asked_for else {}
        return {
            "metadata": {
                "labels": metadata.compose_labels(job, role, *labels, remark=self.remark),
                "annotations": {**described, **asked},
            },
            "spec": spec,
        }

    def environment(self, job: Job, replica: Replica | None = None) -> list[Object]:
        """Return the whole environment of the task's main container, or of a replica's."""
        own = read_task_layer(job.task.template, replica)
        return self._environment(job, _find(own.spec, own.primary).get("env") or ())

    def complete_resources(self, job: Job, asked: tasks_pb2.Resources, what: str) -> Object:
        """Return the complete resources of a container, called ``what`` in errors."""
        return resources.complete(resources.read_resources(asked), self._rules(job), what)

    def _defaults(self, replica: Replica | None) -> dict[str, Any]:
        """Return the lowest layer: defaults that any template may override."""
        return {
            **devices.place(self.placement),
            "automountServiceAccountToken": replica is not None and replica.calls_kubernetes,
            "enableServiceLinks": False,
            "imagePullSecrets": [{"name": each} for each in self.image_pull_secrets],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            **({"serviceAccountName": self.service_account} if self.service_account else {}),
        }

    def _named_template(self, job: Job, namespace: str) -> Object:
        """
        Return the content of the PodTemplate that the task names, or of the cluster's
        default.
        """
        asked = (
            job.task.template.metadata.pod_template_name
            or job.run.spec.default_settings.pod_template_name
        )
        desired = asked or self.default_template
        if not desired:
            return {}
        for place in (namespace, self.agent_namespace):
            found = self.templates.get(Name(place, desired))
            if found is not None:
                template: Object = found.get("template") or {}
                return template
        if not asked:
            return {}  # a default is used only if it exists
        raise BadSpecError(
            f"the PodTemplate {asked!r} does not exist in the namespace {namespace}; create it there,"
            " or name another as pod_template"
        )

    def _complete(self, spec: dict[str, Any], own: TaskPodLayer, job: Job) -> dict[str, Any]:
        """Merge the run's and the system's layers over the task's."""
        primary = own.primary
        spec = {**spec, "containers": [dict(each) for each in spec["containers"]]}
        if alias := spec.pop("serviceAccount", ""):  # the deprecated alias of serviceAccountName
            spec["serviceAccountName"] = alias
        for container in spec["containers"]:
            _settle(container, job)
            if container["name"] == primary:
                self._complete_primary(container, job)
            elif container.get("resources"):
                container["resources"] = resources.rename_gpu(
                    container["resources"], self._rules(job).gpu
                )
        for container in spec.get("initContainers") or ():
            _settle(container, job)
        desired = self._accelerator(job, _find(spec, primary))
        for layer in self._layers(job, primary, desired):
            spec = merge(spec, layer)
        self.security.of(job.assignment.key.run).require_account(
            str(spec.get("serviceAccountName") or ""), self.service_account, "serviceAccountName"
        )
        if desired is not None and desired.unpartitioned:
            accelerator = devices.find_accelerator(desired, self.accelerators)
            if accelerator.partition_label:
                spec["affinity"] = devices.without_partitions(spec, accelerator)
        fence = self._fence_of(job)
        if fence is not None:
            spec["containers"] = fencing.put_up(spec["containers"], fence)
        return {name: value for name, value in spec.items() if value not in ([], {})}

    def _complete_primary(self, container: dict[str, Any], job: Job) -> None:
        if not container.get("image"):
            raise BadSpecError(
                f"container {container['name']} of task {job.task.name} names no image; give its"
                " environment one"
            )
        container["env"] = self._environment(job, container.get("env") or ())
        container["resources"] = resources.complete(
            container.get("resources") or {}, self._rules(job), container["name"]
        )
        if self.env_secret:
            source = {"secretRef": {"name": self.env_secret}}
            container["envFrom"] = [*(container.get("envFrom") or ()), source]

    def _accelerator(self, job: Job, container: Object) -> tasks_pb2.GPUAccelerator | None:
        """Return the device whose nodes the pod needs; a default only for what requests devices."""
        extended = job.task.template.extended_resources
        desired = devices.choose_accelerator(extended, _resource_defaults(job))
        if desired is None or extended.HasField("gpu_accelerator"):
            return desired
        accelerator = devices.find_accelerator(desired, self.accelerators)
        return desired if devices.requests_device(container, accelerator) else None

    def _layers(
        self, job: Job, primary: str, desired: tasks_pb2.GPUAccelerator | None
    ) -> Iterable[Object]:
        template = job.task.template
        yield {
            "volumes": [identity.volume(self.proxy)],
            "containers": [{"name": primary, "volumeMounts": [identity.mount()]}],
        }
        files = secrets.as_volume(
            secrets.read_secrets(template.security_context.secrets, self.located)
        )
        if files is not None:
            mount = {"name": files["name"], "mountPath": secrets.DIRECTORY, "readOnly": True}
            yield {
                "volumes": [files],
                "containers": [{"name": primary, "volumeMounts": [mount]}],
            }
        extended = template.extended_resources
        if extended.HasField("shared_memory"):
            yield devices.share_memory(extended.shared_memory, primary)
        if desired is not None:
            accelerator = devices.find_accelerator(desired, self.accelerators)
            yield devices.placement(desired, accelerator)
        if job.interruptible:
            yield devices.place(self.interruptible)
        account = (
            job.run.spec.security_context.run_as.k8s_service_account
            or template.security_context.run_as.k8s_service_account
        )
        if account:
            yield {"serviceAccountName": account}

    def _environment(self, job: Job, own: Iterable[Object]) -> list[Object]:
        desired = secrets.read_secrets(job.task.template.security_context.secrets, self.located)
        store = {"AZURE_STORAGE_ACCOUNT_NAME": self.azure_account} if self.azure_account else {}
        return compose_environment(
            [*variables(store), *own, *secrets.as_variables(desired)],
            job.run.env,
            pod_variables(job.assignment, self.proxy),
        )

    def _rules(self, job: Job) -> resources.Rules:
        text = _resource_defaults(job)
        desired = devices.choose_accelerator(job.task.template.extended_resources, text)
        return resources.Rules(
            gpu=devices.name_of_gpu(desired, self.accelerators),
            defaults={**self.defaults, **resources.read_amounts(text.requests)},
            maxima=self.maxima,
            settings_maxima=resources.read_amounts(text.max),
        )

    def _fence_of(self, job: Job) -> Fence | None:
        return self.fence if job.assignment.replaceable else None

    def _grace(self, job: Job, own: TaskPodLayer, named: Object) -> tuple[timedelta, bool]:
        """Return the grace period, and whether the task or its template sets it."""
        text = own.spec.get("terminationGracePeriodSeconds")
        fence = self._fence_of(job)
        if fence is not None:
            most = fence.grace.total_seconds()
            if text is not None and text > most:
                raise BadSpecError(
                    f"pod_spec.terminationGracePeriodSeconds is {text}, and a task that may be"
                    f" restarted elsewhere when its cluster is disconnected has at most {most:.0f}; lower it, or set the"
                    " task's disconnect policy to keep it"
                )
            return (fence.grace, False) if text is None else (timedelta(seconds=text), True)
        if text is None:
            text = (named.get("spec") or {}).get("terminationGracePeriodSeconds")
            text = None if text == _KUBERNETES_GRACE else text
        return (self.grace, False) if text is None else (timedelta(seconds=text), True)

    def _add_copilot(self, spec: dict[str, Any], primary: str, job: Job) -> dict[str, Any]:
        paths = copilot.find_paths(job)
        if paths is None:
            return spec
        # Both directories exist even without data: programs look for them.
        mounts = list(copilot.mounts(paths))
        spec = merge(
            spec,
            {
                "volumes": copilot.volumes(),
                "containers": [{"name": primary, "volumeMounts": mounts}],
            },
        )
        ships = copilot.moves_outputs(job)
        if not (ships or copilot.moves_inputs(job)):
            return spec
        if self.copilot is None:
            raise BadSpecError(
                f"task {job.task.name} is a raw container with inputs or outputs, for which this cluster has no"
                " copilot; ask the cluster's operator to set the agent's copilot image"
            )
        if ships and spec.get("shareProcessNamespace"):
            raise BadSpecError(
                "pod_spec.shareProcessNamespace cannot be used with the copilot, which has to be the"
                " first process of its container to receive the signal that the task has ended; leave it out"
            )
        settings, fence = self.copilot, self._fence_of(job)
        if fence is not None:
            settings = replace(settings, ship_within=min(settings.ship_within, fence.shipping))
        security = copilot.sidecar_security(spec, _find(spec, primary))
        beside = copilot.containers(job, paths, settings, self.proxy, security)
        grace = round(copilot.pod_grace(settings).total_seconds()) if ships else 0
        return {
            **spec,
            "initContainers": [*beside, *(spec.get("initContainers") or ())],
            "terminationGracePeriodSeconds": max(grace, spec["terminationGracePeriodSeconds"]),
        }


def _settle(container: dict[str, Any], job: Job) -> None:
    """Fill in placeholders, and the fields that every container of a task has."""
    for name in ("command", "args"):
        if container.get(name):
            words = [str(word) for word in container[name]]
            container[name] = substitute(words, job.assignment, quote=literal)
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    security = container.get("securityContext") or {}
    powers = (security.get("capabilities") or {}).get("add") or ()
    if not security.get("privileged") and not {"SYS_ADMIN", "CAP_SYS_ADMIN"} & set(powers):
        container["securityContext"] = {"allowPrivilegeEscalation": False, **security}


def _resource_defaults(job: Job) -> run_pb2.TaskResourceDefaults:
    return job.run.spec.default_settings.task_resource_defaults


def _find(spec: Object, name: str) -> Object:
    found: Object = next(each for each in spec["containers"] if each["name"] == name)
    return found
