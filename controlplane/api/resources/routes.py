"""
The table of routes: which method and path is which RPC, and where its message's fields come from.

A path is below ``/api/v1/orgs/{org}/``. Every name in braces is a parameter of the path, except
``{org}`` a field of the message (``fills``). A last segment may end with a verb: ``{run}:abort``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.api.resources import fields
from controlplane.api.resources.fields import ListFields

BASE = "/api/v1/orgs/{org}/"

_RUN = "flyteidl2.workflow.RunService"
_TASK = "flyteidl2.task.TaskService"
_PROJECT = "flyteidl2.project.ProjectService"
_DATA = "flyteidl2.dataproxy.DataProxyService"

_IN_DOMAIN = "projects/{project}/domains/{domain}/"
_OF_RUN = _IN_DOMAIN + "runs/{run}"
_OF_ACTION = _OF_RUN + "/actions/{action}"
_OF_TASK = _IN_DOMAIN + "tasks/{task}"


@dataclass(frozen=True, slots=True)
class Listed:
    """
    How a list takes ``filters``, ``sort_by.key``, ``sort_by.direction``, ``limit`` and ``token``.

    ``equals``: query parameters that are filters too, with the field that equals their value.
    """

    fields: ListFields
    equals: Mapping[str, str] = field(default_factory=dict)
    is_text: bool = False
    """The RPC takes filters as text, and all five on the request itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    One route.

    ``fills``: fields of the message, as dotted paths, by the parameters of the path.
    ``answer``: the field of the response that is the answer, "" for all of it; ``only``: the
    fields of it that are written, if not all.
    """

    method: str
    path: str
    rpc: str
    about: str
    fills: Mapping[str, str]
    listed: Listed | None = None
    answer: str = ""
    only: Sequence[str] = ()


_PROJECT_ID = {"project": "project_id.name", "domain": "project_id.domain"}
_RUN_ID = {"project": "run_id.project", "domain": "run_id.domain", "run": "run_id.name"}
_ACTION_ID = {
    **{name: f"action_id.run.{path.partition('.')[2]}" for name, path in _RUN_ID.items()},
    "action": "action_id.name",
}
_TASK_NAME = {
    "project": "task_name.project",
    "domain": "task_name.domain",
    "task": "task_name.name",
}
_TASK_ID = {
    "project": "task_id.project",
    "domain": "task_id.domain",
    "task": "task_id.name",
    "version": "task_id.version",
}

ROUTES: Sequence[Route] = (
    Route(
        method="GET",
        path="projects",
        rpc=f"{_PROJECT}/ListProjects",
        about="List projects.",
        fills={},
        listed=Listed(fields.PROJECTS, is_text=True),
        answer="projects",
    ),
    Route(
        method="GET",
        path="projects/{project}",
        rpc=f"{_PROJECT}/GetProject",
        about="Get a project, with its domains.",
        fills={"project": "id"},
        answer="project",
    ),
    Route(
        method="GET",
        path=_IN_DOMAIN + "tasks",
        rpc=f"{_TASK}/ListTasks",
        about="List tasks, each with its latest version.",
        fills=_PROJECT_ID,
        listed=Listed(fields.TASKS, {"entrypoint": "is_entrypoint"}),
    ),
    Route(
        method="GET",
        path=_OF_TASK,
        rpc=f"{_TASK}/ListVersions",
        about="List the versions of a task.",
        fills=_TASK_NAME,
        listed=Listed(fields.TASKS),
    ),
    Route(
        method="GET",
        path=_OF_TASK + "/versions/{version}",
        rpc=f"{_TASK}/GetTaskDetails",
        about="Get a version of a task.",
        fills=_TASK_ID,
        answer="details",
    ),
    Route(
        method="GET",
        path=_IN_DOMAIN + "runs",
        rpc=f"{_RUN}/ListRuns",
        about="List runs.",
        fills=_PROJECT_ID,
        listed=Listed(fields.RUNS),
    ),
    Route(
        method="GET",
        path=_OF_RUN,
        rpc=f"{_RUN}/GetRunDetails",
        about="Get a run, with its root action.",
        fills=_RUN_ID,
        answer="details",
    ),
    Route(
        method="GET",
        path=_OF_RUN + "/actions",
        rpc=f"{_RUN}/ListActions",
        about="List the actions of a run.",
        fills=_RUN_ID,
        listed=Listed(fields.ACTIONS, {"parent": "parent_name", "group": "group"}),
    ),
    Route(
        method="GET",
        path=_OF_ACTION,
        rpc=f"{_RUN}/GetActionDetails",
        about="Get an action, with its attempts.",
        fills=_ACTION_ID,
        answer="details",
    ),
    Route(
        method="GET",
        path=_OF_ACTION + "/attempts",
        rpc=f"{_RUN}/GetActionDetails",
        about="Get the attempts of an action.",
        fills=_ACTION_ID,
        answer="details",
        only=("attempts",),
    ),
    Route(
        method="GET",
        path=_OF_ACTION + "/data",
        rpc=f"{_DATA}/GetActionData",
        about="Get the inputs and outputs of an action.",
        fills=_ACTION_ID,
    ),
)
