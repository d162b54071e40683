"""Explains paths of FlyteAdmin that have another place here, or none."""

from collections.abc import Mapping, Sequence

from controlplane.api.resources.routes import BASE

PREFIX = "/api/v1/"

_DOMAIN = BASE + "projects/{project}/domains/{domain}/"
_TASKS = f"tasks and workflows are tasks here: {_DOMAIN}tasks"
_TRIGGERS = "launch plans are triggers here, which this release does not serve over HTTP"
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
    "domains": f"every project lists its domains here: {BASE}projects",
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
    "triggers": "triggers are not served over HTTP by this release",
    "workflow_attributes": _SETTINGS,
    "workflow_ids": _TASKS,
    "workflows": _TASKS,
}


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
