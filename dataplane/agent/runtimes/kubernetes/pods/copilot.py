"""
Build the two containers next to a raw container: one downloads inputs, one uploads outputs.

``volary-download`` is an init container. ``volary-sidecar`` is a native sidecar: the kubelet
ends it when the task has ended, and waits for it as long as the pod's grace period allows. Both
get signed links from the API proxy and have no credentials of the store.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flyteidl2.core import tasks_pb2

from dataplane.agent.core import pod_identity
from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods import identity
from dataplane.agent.runtimes.kubernetes.pods.environment import literal
from dataplane.agent.runtimes.kubernetes.pods.settings import LAST_WORDS, Copilot, ProxyAccess
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError

DOWNLOAD = "volary-download"
SIDECAR = "volary-sidecar"
HANDOFF_VARIABLE = "VOLARY_COPILOT_HANDOFF"

_INPUTS, _OUTPUTS = "volary-inputs", "volary-outputs"
_LONGEST_TASK = timedelta(days=366)
_RAW = "raw-container"
_USUAL_INPUTS, _USUAL_OUTPUTS = "/var/inputs", "/var/outputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Paths where a raw container reads its inputs and writes its outputs."""

    inputs: str = _USUAL_INPUTS
    outputs: str = _USUAL_OUTPUTS
    format: str = "JSON"
    layout: str = "DIRECT"


def find_paths(job: Job) -> Paths | None:
    """Return the paths of a task that needs the copilot; None if it does not."""
    template = job.task.template
    target = template.WhichOneof("target")
    config = template.k8s_pod.data_config if target == "k8s_pod" else template.container.data_config
    if config.enabled:
        paths = _read(config)
    elif target == "k8s_pod" and template.type == _RAW:
        paths = Paths()  # the SDK omits them for pod templates; these are its defaults
    else:
        return None
    for path in (paths.inputs, paths.outputs):
        if not path.startswith("/") or path == "/":
            raise BadSpecError(f"the data directory {path!r} is not an absolute path below /")
    if paths.inputs == paths.outputs:
        raise BadSpecError(
            f"input_data_dir and output_data_dir are both {paths.inputs}; choose two directories"
        )
    return paths


def moves_inputs(job: Job) -> bool:
    return bool(job.task.template.interface.inputs.variables)


def moves_outputs(job: Job) -> bool:
    return bool(job.task.template.interface.outputs.variables)


def containers(
    job: Job, paths: Paths, settings: Copilot, proxy: ProxyAccess, security: Object
) -> list[dict[str, Any]]:
    """Return the containers that the task's data needs: none, one or both."""

    def container(name: str, command: str, mount: Object, whole: timedelta) -> dict[str, Any]:
        handoff = render_handoff(job, paths, settings, proxy, whole)
        made: dict[str, Any] = {
            "name": name,
            "image": settings.image,
            "command": [*settings.command, command, "--log-json"],
            "env": [{"name": HANDOFF_VARIABLE, "value": literal(handoff)}],
            "resources": {"requests": dict(settings.requests), "limits": dict(settings.limits)},
            "volumeMounts": [mount, identity.mount()],
            "securityContext": dict(security),
        }
        if settings.image_pull_policy:
            made["imagePullPolicy"] = settings.image_pull_policy
        return made

    longest = job.task.max_runtime or _LONGEST_TASK
    inputs, outputs = mounts(paths)
    made = []
    if moves_inputs(job):
        made.append(container(DOWNLOAD, "download", inputs, settings.bring_within))
    if not moves_outputs(job):
        return made
    sidecar = container(SIDECAR, "sidecar", outputs, longest + 2 * settings.ship_within)
    # The task starts only after its sidecar is ready to receive the signal of its end.
    sidecar["startupProbe"] = {
        "exec": {"command": [*settings.command, "ready"]},
        "periodSeconds": 1,
        "timeoutSeconds": 10,
        "failureThreshold": 120,
    }
    return [*made, {**sidecar, "restartPolicy": "Always"}]


def mounts(paths: Paths) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {"name": _INPUTS, "mountPath": paths.inputs},
        {"name": _OUTPUTS, "mountPath": paths.outputs},
    )


def volumes() -> list[dict[str, Any]]:
    return [{"name": _INPUTS, "emptyDir": {}}, {"name": _OUTPUTS, "emptyDir": {}}]


def pod_grace(settings: Copilot) -> timedelta:
    """Return the pod's termination grace period; the kubelet counts from the task's end."""
    return settings.ship_within + LAST_WORDS


def sidecar_security(spec: Object, primary: Object) -> dict[str, Any]:
    """
    Return the security context of a container that reads the primary container's files.

    It runs as the same user, if one is set. Otherwise as root with only the capability to read
    any file, because a program may make its outputs readable to itself alone.
    """
    stated: Mapping[str, Any] = {
        **(spec.get("securityContext") or {}),
        **(primary.get("securityContext") or {}),
    }
    user = {name: stated[name] for name in ("runAsUser", "runAsGroup") if name in stated}
    context: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    if user.get("runAsUser") or stated.get("runAsNonRoot"):
        return {**context, **user}
    context["capabilities"] = {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}
    return {**context, **user, "runAsUser": 0}


def render_handoff(
    job: Job, paths: Paths, settings: Copilot, proxy: ProxyAccess, whole: timedelta
) -> str:
    assignment = job.assignment
    interface = job.task.template.interface.outputs.SerializeToString(deterministic=True)
    return json.dumps(
        {
            "links": {
                "endpoint": f"https://{proxy.address}{pod_identity.COPILOT_PATH}",
                "token_file": pod_identity.TOKEN_FILE,
                "ca_file": pod_identity.CA_FILE,
            },
            "inputs": {
                "uri": assignment.input_uri,
                "path": paths.inputs,
                "format": paths.format,
                "layout": paths.layout,
                "run_started_at": assignment.run_started_at.isoformat(),
            },
            "outputs": {
                "prefix": assignment.output_prefix,
                "raw_prefix": assignment.raw_data_prefix,
                "path": paths.outputs,
                "interface": b64encode(interface).decode(),
            },
            "seconds": {
                "whole": whole.total_seconds(),
                "grace": settings.ship_within.total_seconds(),
            },
        },
        separators=(",", ":"),
    )


def _read(config: tasks_pb2.DataLoadingConfig) -> Paths:
    kinds = tasks_pb2.DataLoadingConfig
    return Paths(
        inputs=config.input_path or _USUAL_INPUTS,
        outputs=config.output_path or _USUAL_OUTPUTS,
        format=kinds.LiteralMapFormat.Name(config.format),
        layout=kinds.FileInputLayout.Name(config.file_input_layout),
    )
