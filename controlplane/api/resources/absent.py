"""Explains paths of FlyteAdmin that have another place here, or none."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from controlplane.api.resources.route import BASE

PREFIX = "/api/v1/"

_DOMAIN = BASE + "projects/{project}/domains/{domain}/"
_TASKS = f"tasks and workflows are tasks here: {_DOMAIN}tasks"
_TRIGGERS = f"launch plans are triggers here: {_DOMAIN}tasks/{{task}}/triggers/{{trigger}}"
_RUNS = f"executions are runs here: {_DOMAIN}runs"
_ACTIONS = f"node executions are actions of a run here: {_DOMAIN}runs/{{run}}/actions"
_ATTEMPTS = f"task executions are attempts of an action here: {_DOMAIN}runs/{{run}}/actions/{{action}}/attempts"
_SETTINGS = (
    f"attributes are settings here: {BASE}settings, {BASE}domains/{{domain}}/settings and"
    f" {_DOMAIN}settings"
)

_PLACES: Mapping[str, str] = {
    "active_launch_plans": _TRIGGERS,
    "children": _ACTIONS,
    "data": f"data of executions is data of actions here: {_DOMAIN}runs/{{run}}/actions/{{action}}/data",
    "description_entities": "descriptions are part of a task's version here",
    "domains": f"domains belong to an org here: {BASE}domains",
    "events": "events are reports of agents here, which come over the agents' own link",
    "executions": _RUNS,
    "launch_plan_ids": _TRIGGERS,
    "launch_plans": _TRIGGERS,
    "matchable_attributes": _SETTINGS,
    "metrics": "times of an execution are part of its actions here",
    "named_entities": "names have no records of their own here; tasks and runs are listed by name",
    "node_executions": _ACTIONS,
    "project_attributes": _SETTINGS,
    "project_domain_attributes": _SETTINGS,
    "projects": f"projects belong to an org here: {BASE}projects",
    "task_executions": _ATTEMPTS,
    "task_ids": _TASKS,
    "tasks": _TASKS,
    "workflow_attributes": _SETTINGS,
    "workflow_ids": _TASKS,
    "workflows": _TASKS,
}


_ATTRIBUTES = frozenset(
    {
        "matchable_attributes",
        "project_attributes",
        "project_domain_attributes",
        "workflow_attributes",
    }
)
_ALTERNATIVES: Sequence[tuple[str, str, str, str]] = (
    (
        "CLUSTER_RESOURCE",
        "1",
        "clusterResourceAttributes",
        "objects of a namespace are made by the cluster's operator, with Helm for example",
    ),
    (
        "EXECUTION_CLUSTER_LABEL",
        "3",
        "executionClusterLabel",
        "a queue names its pool of clusters (volary queue), and run.default_queue the queue",
    ),
    (
        "QUALITY_OF_SERVICE",
        "4",
        "qualityOfService",
        "queues have limits (volary queue), and the setting run.default_queue names the queue",
    ),
    (
        "PLUGIN_OVERRIDE",
        "5",
        "pluginOverrides",
        "the type of a task alone decides which operator runs it",
    ),
)
"""Matchable resources without a setting: name, number, field in a body, and what there is instead."""


def find_alternative(path: str, query: bytes, body: bytes) -> str | None:
    """Return why FlyteAdmin's attributes cannot be settings, and the remedy; None if they can."""
    if _noun(path.removeprefix(PREFIX).split("/")) not in _ATTRIBUTES:
        return None
    asked = parse_qs(query.decode("latin-1")).get("resource_type", [])
    for name, number, field, remedy in _ALTERNATIVES:
        if name in asked or number in asked or f'"{field}"'.encode() in body:
            return f"attributes of the type {name} have no place here: {remedy}"
    return None


def explain_path(path: str) -> str | None:
    """Return why a path names a noun without a route here; None if it names none that is known."""
    segments = path.removeprefix(PREFIX).split("/")
    named = _PLACES.get(_noun(segments))
    return None if named is None else f"{path} is not served: {named}"


def _noun(segments: Sequence[str]) -> str:
    """Return the noun that comes first: after an org, and a project and domain, if they are there."""
    if segments[0] == "orgs":
        segments = segments[2:]
        if segments[:1] == ["projects"] and segments[2:3] == ["domains"]:
            segments = segments[4:]
    return segments[0] if segments else ""
