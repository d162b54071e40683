"""
The calls of the API that a task may make: each RPC, and the objects that its message may name.

The control plane authorizes callers with the token of an attempt by it, and an agent's API proxy
the pods of tasks. An RPC without a row is refused. Messages are read by their fields' names, so
that this needs no generated code; tests compare the rows with flyteidl2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from shared.model.ids import ActionKey, ActionName, DomainName, ProjectName, RunKey, RunName

ProjectDomain = tuple[str, str]
"""A project and a domain."""


class Scope(Enum):
    LOCAL = auto()  # a proxy answers it, before it authenticates the caller
    ANY = auto()  # names no owned object, or one that the control plane authorizes
    PROJECT = auto()  # about the caller's own project and domain
    LINEAGE = auto()  # about the caller's run, or one that was started by it
    RUN = auto()  # about the caller's run


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Scope of an RPC, and how to extract the objects that a message names.

    ``parents``: actions that have to be the caller's own, if they are of its own run.
    """

    scope: Scope
    runs: Callable[[Any], Sequence[RunKey]] = lambda _: ()
    projects: Callable[[Any], Sequence[ProjectDomain]] = lambda _: ()
    parents: Callable[[Any], Sequence[ActionKey]] = lambda _: ()


def find_refusal(rule: Rule, message: Any, own: ActionKey) -> str:
    """
    Return why a task of the action ``own`` may not send the message; "" if it may.

    Runs are not looked at: :func:`list_other_runs` returns those that are not its own.
    """
    run = own.run
    for project, domain in rule.projects(message):
        if (project, domain) != (run.project, run.domain):
            return (
                f"{project}/{domain} is not its own project and domain, {run.project}/{run.domain}"
            )
    for parent in rule.parents(message):
        if parent.run == run and parent != own:
            return f"{parent} is not its own action, {own}"
    return ""


def list_other_runs(rule: Rule, message: Any, own: RunKey) -> Sequence[RunKey]:
    """Return the runs that the message names, without the caller's own."""
    return [run for run in rule.runs(message) if run != own]


def refuse_run(run: RunKey, own: RunKey) -> str:
    """Return why a task of the run ``own`` may not call anything about ``run``."""
    return f"{run} is neither its own run, {own}, nor started by it"


def explain_refusal(rpc: str, reason: str) -> str:
    """Return the sentence for a call that a row refuses."""
    return (
        f"a task may not call {rpc} for this: {reason};"
        " call it from outside, with credentials of your own"
    )


def explain_absence(rpc: str) -> str:
    """Return the sentence for an RPC that has no row, with what to do instead."""
    return f"a task may not call {rpc}; {remedy(rpc)}"


def _of_run(scope: Scope, path: str) -> Rule:
    """Return a rule for the one run at ``path`` in the message: a RunIdentifier."""
    return Rule(scope, runs=lambda message: [_run(_at(message, path))])


def _of_action(action: str, parent: str) -> Rule:
    """Return a rule for children of the caller: of the ActionIdentifier and the parent's name."""
    return Rule(
        Scope.RUN,
        runs=lambda message: [_run(_at(message, action).run)],
        parents=lambda message: [
            ActionKey(_run(_at(message, action).run), ActionName(_at(message, parent)))
        ],
    )


def _at(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name)
    return message


def _run(fields: Any) -> RunKey:
    return RunKey(ProjectName(fields.project), DomainName(fields.domain), RunName(fields.name))


def _new_run(message: Any) -> Sequence[ProjectDomain]:
    """Return the project and domain in which CreateRun and UploadInputs create objects."""
    if message.WhichOneof("id") == "run_id":
        return [(message.run_id.project, message.run_id.domain)]
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


def _of_name(name: Any) -> ProjectDomain:
    return name.project, name.domain


def _source_run(message: Any) -> Sequence[RunKey]:
    """Return the run that an artifact names as its source."""
    source = message.spec.source
    if source.WhichOneof("source") == "task_action":
        return [_run(source.task_action.action.run)]
    return []


_ANY = Rule(Scope.ANY)
_LOCAL = Rule(Scope.LOCAL)
_OWN_ACTION = _of_run(Scope.RUN, "action_id.run")
_OWN_ARTIFACT = Rule(Scope.PROJECT, projects=lambda message: [_of_name(message.name)])
_OWN_ARTIFACTS = Rule(
    Scope.PROJECT, projects=lambda message: [(message.project_id.name, message.project_id.domain)]
)
_LINEAGE = _of_run(Scope.LINEAGE, "run_id")
_LINEAGE_ACTION = _of_run(Scope.LINEAGE, "action_id.run")

RULES: Mapping[str, Rule] = {
    "flyteidl2.actions.ActionsService/Enqueue": _of_action(
        "action.action_id", "action.parent_action_name"
    ),
    "flyteidl2.actions.ActionsService/WatchForUpdates": _of_action(
        "parent_action_id", "parent_action_id.name"
    ),
    "flyteidl2.actions.ActionsService/Abort": _OWN_ACTION,
    "flyteidl2.actions.ActionsService/Signal": _OWN_ACTION,
    "flyteidl2.artifact.ArtifactService/CreateArtifact": Rule(
        Scope.LINEAGE,
        runs=_source_run,
        projects=lambda message: [_of_name(message.artifact_id.name)],
    ),
    "flyteidl2.artifact.ArtifactService/DeclareArtifact": _OWN_ARTIFACT,
    "flyteidl2.artifact.ArtifactService/GetArtifact": _OWN_ARTIFACT,
    "flyteidl2.artifact.ArtifactService/GetArtifactSchema": _OWN_ARTIFACT,
    "flyteidl2.artifact.ArtifactService/ListArtifacts": _OWN_ARTIFACTS,
    "flyteidl2.artifact.ArtifactService/ListArtifactMetadataKeys": _OWN_ARTIFACTS,
    "flyteidl2.artifact.ArtifactService/ListArtifactNames": _OWN_ARTIFACTS,
    "flyteidl2.artifact.ArtifactService/ListPartitionValues": _OWN_ARTIFACTS,
    "flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata": _LOCAL,
    "flyteidl2.auth.AuthMetadataService/GetPublicClientConfig": _LOCAL,
    "flyteidl2.auth.IdentityService/UserInfo": _ANY,
    "flyteidl2.cluster.ClusterService/SelectCluster": _LOCAL,
    "flyteidl2.dataproxy.DataProxyService/CreateUploadLocation": Rule(
        Scope.PROJECT, projects=lambda message: [(message.project, message.domain)]
    ),
    "flyteidl2.dataproxy.DataProxyService/UploadInputs": Rule(Scope.PROJECT, projects=_new_run),
    "flyteidl2.dataproxy.DataProxyService/CreateDownloadLink": Rule(
        Scope.LINEAGE, runs=_linked, projects=_linked_task
    ),
    "flyteidl2.dataproxy.DataProxyService/GetActionData": _LINEAGE_ACTION,
    "flyteidl2.dataproxy.DataProxyService/TailLogs": _LINEAGE_ACTION,
    "flyteidl2.imagebuilder.ImageService/GetImage": _ANY,
    "flyteidl2.project.ProjectService/GetProject": _ANY,
    "flyteidl2.project.ProjectService/ListProjects": _ANY,
    "flyteidl2.workflow.QueueService/EnqueueAction": _of_action("action_id", "parent_action_name"),
    "flyteidl2.workflow.QueueService/AbortQueuedAction": _OWN_ACTION,
    "flyteidl2.workflow.RunService/CreateRun": Rule(
        Scope.LINEAGE, runs=_related_run, projects=_new_run
    ),
    "flyteidl2.workflow.RunService/AbortRun": _LINEAGE,
    "flyteidl2.workflow.RunService/AbortAction": _LINEAGE_ACTION,
    "flyteidl2.workflow.RunService/GetRunDetails": _LINEAGE,
    "flyteidl2.workflow.RunService/WatchRunDetails": _LINEAGE,
    "flyteidl2.workflow.RunService/GetActionDetails": _LINEAGE_ACTION,
    "flyteidl2.workflow.RunService/WatchActionDetails": _LINEAGE_ACTION,
    "flyteidl2.workflow.RunService/GetActionData": _LINEAGE_ACTION,
    "flyteidl2.workflow.RunService/GetActionDataURIs": _LINEAGE_ACTION,
    "flyteidl2.workflow.RunService/GetActionLogContext": _LINEAGE_ACTION,
    "flyteidl2.workflow.RunService/ListActions": _LINEAGE,
    "flyteidl2.workflow.RunService/WatchActions": _LINEAGE,
    "flyteidl2.workflow.RunService/WatchClusterEvents": _of_run(Scope.LINEAGE, "id.run"),
    "flyteidl2.workflow.RunService/SignalEvent": _LINEAGE_ACTION,
    "flyteidl2.workflow.StateService/Get": _OWN_ACTION,
    "flyteidl2.workflow.StateService/Watch": _of_action(
        "parent_action_id", "parent_action_id.name"
    ),
    "flyteidl2.task.TaskService/DeployTask": Rule(
        Scope.PROJECT,
        projects=lambda message: [(message.task_id.project, message.task_id.domain)],
    ),
    # With logins the control plane lets a task read the tasks of its own project only.
    "flyteidl2.task.TaskService/GetTaskDetails": _ANY,
    "flyteidl2.task.TaskService/ListTasks": _ANY,
    "flyteidl2.task.TaskService/ListVersions": _ANY,
}
"""Rows by the RPC's name, ``package.Service/Method``."""

_REMEDIES: Mapping[str, str] = {
    "flyteidl2.artifact.ArtifactService/DeleteArtifact": "delete versions from outside",
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
    """Return the alternative to an RPC that has no row."""
    for beginning, alternative in _REMEDIES.items():
        if rpc.startswith(beginning):
            return alternative
    return "call it from outside, with credentials of your own"
