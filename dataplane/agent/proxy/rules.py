"""
Allow-list of RPCs for tasks: each RPC, and the objects that its message may name.

RPCs that are not in the table are rejected. The org of a call is not checked: it comes from the
agent's credential, whatever a message contains.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from flyteidl2.actions import actions_service_pb2
from flyteidl2.auth import auth_service_pb2, identity_pb2
from flyteidl2.cluster import service_pb2 as cluster_service_pb2
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.imagebuilder import service_pb2 as image_service_pb2
from flyteidl2.project import project_service_pb2
from flyteidl2.task import task_service_pb2
from flyteidl2.workflow import queue_service_pb2, run_service_pb2, state_service_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from shared.model.ids import DomainName, ProjectName, RunKey, RunName

ProjectDomain = tuple[str, str]
"""A project and a domain."""


class Scope(Enum):
    LOCAL = auto()  # the proxy answers it, before it authenticates the caller
    ANY = auto()  # names no owned object
    PROJECT = auto()  # about the caller's own project and domain
    LINEAGE = auto()  # about the caller's run, or one that was started by it
    RUN = auto()  # about the caller's run


@dataclass(frozen=True, slots=True)
class Rule:
    """Scope of an RPC; ``runs`` and ``projects`` extract the objects that a message names."""

    scope: Scope
    runs: Callable[[Any], Sequence[RunKey]] = lambda _: ()
    projects: Callable[[Any], Sequence[ProjectDomain]] = lambda _: ()


@dataclass(frozen=True, slots=True)
class Rpc:
    """An RPC that may be called, as flyteidl2 describes it."""

    name: str  # package.Service/Method
    rule: Rule
    request: type[Message]
    is_stream: bool


def _of_run(scope: Scope, path: str) -> Rule:
    """Return a rule for the one run at ``path`` in the message: a RunIdentifier."""
    return Rule(scope, runs=lambda message: [_run(_at(message, path))])


def _at(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name)
    return message


def _run(fields: Any) -> RunKey:
    return RunKey(ProjectName(fields.project), DomainName(fields.domain), RunName(fields.name))


def _new_run(message: Any) -> Sequence[ProjectDomain]:
    """Return the project and domain in which CreateRun and UploadInputs create objects."""
    fields = message.run_id if message.WhichOneof("id") == "run_id" else None
    if fields is not None:
        return [(fields.project, fields.domain)]
    return [(message.project_id.name, message.project_id.domain)]


def _related_run(message: Any) -> Sequence[RunKey]:
    """Return the parent run that a new run names; the SDK sets it within a task."""
    spec = message.run_spec
    return [_run(spec.relation.related_to)] if spec.HasField("relation") else []


def _linked(message: Any) -> Sequence[RunKey]:
    if message.WhichOneof("source") == "action_attempt_id":
        return [_run(message.action_attempt_id.action_id.run)]
    return []


def _linked_task(message: Any) -> Sequence[ProjectDomain]:
    match message.WhichOneof("source"):
        case "action_attempt_id":
            return []
        case "task_id":
            return [(message.task_id.project, message.task_id.domain)]
        case _:
            return [("", "")]  # matches no caller


_ANY = Rule(Scope.ANY)
_LOCAL = Rule(Scope.LOCAL)
_OWN_ACTION = _of_run(Scope.RUN, "action_id.run")
_LINEAGE = _of_run(Scope.LINEAGE, "run_id")
_LINEAGE_ACTION = _of_run(Scope.LINEAGE, "action_id.run")

_RULES: Mapping[Any, Mapping[str, Rule]] = {
    actions_service_pb2: {
        "ActionsService/Enqueue": _of_run(Scope.RUN, "action.action_id.run"),
        "ActionsService/WatchForUpdates": _of_run(Scope.RUN, "parent_action_id.run"),
        "ActionsService/Abort": _OWN_ACTION,
        "ActionsService/Signal": _OWN_ACTION,
    },
    auth_service_pb2: {
        "AuthMetadataService/GetOAuth2Metadata": _LOCAL,
        "AuthMetadataService/GetPublicClientConfig": _LOCAL,
    },
    identity_pb2: {
        "IdentityService/UserInfo": _ANY,
    },
    cluster_service_pb2: {
        "ClusterService/SelectCluster": _LOCAL,
    },
    dataproxy_service_pb2: {
        "DataProxyService/CreateUploadLocation": Rule(
            Scope.PROJECT, projects=lambda message: [(message.project, message.domain)]
        ),
        "DataProxyService/UploadInputs": Rule(Scope.PROJECT, projects=_new_run),
        "DataProxyService/CreateDownloadLink": Rule(
            Scope.LINEAGE, runs=_linked, projects=_linked_task
        ),
        "DataProxyService/GetActionData": _LINEAGE_ACTION,
        "DataProxyService/TailLogs": _LINEAGE_ACTION,
    },
    image_service_pb2: {
        "ImageService/GetImage": _ANY,
    },
    project_service_pb2: {
        "ProjectService/GetProject": _ANY,
        "ProjectService/ListProjects": _ANY,
    },
    queue_service_pb2: {
        "QueueService/EnqueueAction": _OWN_ACTION,
        "QueueService/AbortQueuedAction": _OWN_ACTION,
    },
    run_service_pb2: {
        "RunService/CreateRun": Rule(Scope.LINEAGE, runs=_related_run, projects=_new_run),
        "RunService/AbortRun": _LINEAGE,
        "RunService/AbortAction": _LINEAGE_ACTION,
        "RunService/GetRunDetails": _LINEAGE,
        "RunService/WatchRunDetails": _LINEAGE,
        "RunService/GetActionDetails": _LINEAGE_ACTION,
        "RunService/WatchActionDetails": _LINEAGE_ACTION,
        "RunService/GetActionData": _LINEAGE_ACTION,
        "RunService/GetActionDataURIs": _LINEAGE_ACTION,
        "RunService/GetActionLogContext": _LINEAGE_ACTION,
        "RunService/ListActions": _LINEAGE,
        "RunService/WatchActions": _LINEAGE,
        "RunService/WatchClusterEvents": _of_run(Scope.LINEAGE, "id.run"),
        "RunService/SignalEvent": _LINEAGE_ACTION,
    },
    state_service_pb2: {
        "StateService/Get": _OWN_ACTION,
        "StateService/Watch": _of_run(Scope.RUN, "parent_action_id.run"),
    },
    task_service_pb2: {
        "TaskService/DeployTask": Rule(
            Scope.PROJECT,
            projects=lambda message: [(message.task_id.project, message.task_id.domain)],
        ),
        # A task may be used from any project; the control plane authorizes reading it.
        "TaskService/GetTaskDetails": _ANY,
        "TaskService/ListTasks": _ANY,
        "TaskService/ListVersions": _ANY,
    },
}

_REMEDIES: Mapping[str, str] = {
    "flyteidl2.app": "deploy and look after apps from outside",
    "flyteidl2.secret.SecretService": (
        "name the secrets it needs in the task's secrets= and find them in its environment"
    ),
    "flyteidl2.settings": "change settings from outside",
    "flyteidl2.trigger": "deploy and change triggers from outside",
    "flyteidl2.workflow.RunService/ListRuns": "it may ask for its own run by name",
    "flyteidl2.workflow.RunService/WatchRuns": "it may watch its own run by name",
}
"""Remedies, by how the RPC's name begins."""


def remedy(rpc: str) -> str:
    """Return the alternative to an RPC that is not in the table."""
    for beginning, fields in _REMEDIES.items():
        if rpc.startswith(beginning):
            return fields
    return "call it from outside, with credentials of your own"


def _rpc(method: MethodDescriptor, rule: Rule) -> Rpc:
    return Rpc(
        name=f"{method.containing_service.full_name}/{method.name}",
        rule=rule,
        request=GetMessageClass(method.input_type),
        is_stream=bool(method.server_streaming),
    )


def _describe() -> dict[str, Rpc]:
    """Look up each row in flyteidl2; KeyError for an unknown RPC."""
    rpcs = {}
    for module, rules in _RULES.items():
        for name, rule in rules.items():
            service, _, method = name.partition("/")
            described = module.DESCRIPTOR.services_by_name[service].methods_by_name[method]
            rpc = _rpc(described, rule)
            rpcs[rpc.name] = rpc
    return rpcs


RPCS: Mapping[str, Rpc] = _describe()
