"""
The table of routes: which method and path is which RPC, and where its message's fields come from.

A path is below ``/api/v1/orgs/{org}/``. Every name in braces is a parameter of the path, except
``{org}`` a field of the message (``fills``). A last segment may end with a verb: ``{run}:abort``.
"""

from collections.abc import Iterator, Mapping, Sequence

from controlplane.api.resources import fields
from controlplane.api.resources.copies import COPIES
from controlplane.api.resources.domain_routes import DOMAINS
from controlplane.api.resources.launches import LAUNCHES
from controlplane.api.resources.route import (
    IN_DOMAIN,
    OF_RUN,
    OF_TASK,
    Header,
    Listed,
    PageOnly,
    Route,
)
from controlplane.api.resources.trigger_routes import TRIGGERS

_RUN = "flyteidl2.workflow.RunService"
_TASK = "flyteidl2.task.TaskService"
_PROJECT = "flyteidl2.project.ProjectService"
_DATA = "flyteidl2.dataproxy.DataProxyService"
_LOG = "volary.platform.v1.LogService"
_PLATFORM_RUN = "volary.platform.v1.RunService"
_SETTINGS = "flyteidl2.settings.SettingsService"
_SECRET = "flyteidl2.secret.SecretService"  # noqa: S105

_OF_ACTION = OF_RUN + "/actions/{action}"


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

_KEYS: Sequence[tuple[str, Mapping[str, str]]] = (
    ("", {}),
    ("domains/{domain}/", {"domain": "key.domain"}),
    (IN_DOMAIN, {"project": "key.project", "domain": "key.domain"}),
)
_SCOPES: Sequence[tuple[str, Mapping[str, str]]] = (
    ("", {}),
    ("domains/{domain}/", {"domain": "domain"}),
    (IN_DOMAIN, {"project": "project", "domain": "domain"}),
)


def _settings() -> Iterator[Route]:
    for prefix, key in _KEYS:
        path = prefix + "settings"
        yield Route(
            method="GET",
            path=path,
            rpc=f"{_SETTINGS}/GetSettings",
            about="Get the settings in force, each with the level that it is from.",
            fills=key,
            flag="effective",
            present="key",
            answer="settingsRecord",
        )
        yield Route(
            method="GET",
            path=path,
            rpc=f"{_SETTINGS}/GetSettingsForEdit",
            about="Get the settings of this level alone; version 0, and no etag, if it has none.",
            fills=key,
            present="key",
            answer="levels",
            has_etag=True,
        )
        yield Route(
            method="PUT",
            path=path,
            rpc=f"{_SETTINGS}/UpdateSettings",
            about="Replace the settings of this level, if they still have the version in if-match.",
            fills=key,
            header=Header("if-match", "version", is_etag=True),
            body="settings",
            present="key",
            answer="settingsRecord",
            has_etag=True,
        )
        yield Route(
            method="PUT",
            path=path,
            rpc=f"{_SETTINGS}/CreateSettings",
            about="Store the first settings of this level.",
            fills=key,
            body="settings",
            present="key",
            answer="settingsRecord",
            is_create=True,
            has_etag=True,
        )


def _secrets() -> Iterator[Route]:
    for prefix, scope in _SCOPES:
        named = {name: f"id.{field}" for name, field in scope.items()} | {"secret": "id.name"}
        yield Route(
            method="GET",
            path=prefix + "secrets",
            rpc=f"{_SECRET}/ListSecrets",
            about="List secrets: their names and types, never values.",
            fills=scope,
            listed=PageOnly(),
        )
        path = prefix + "secrets/{secret}"
        yield Route(
            method="GET",
            path=path,
            rpc=f"{_SECRET}/GetSecret",
            about="Get a secret: its name and type, never its value.",
            fills=named,
            answer="secret",
        )
        for method, verb, about in (
            ("POST", "CreateSecret", "Create a secret."),
            ("PUT", "UpdateSecret", "Replace the value of a secret."),
        ):
            yield Route(
                method=method,
                path=path,
                rpc=f"{_SECRET}/{verb}",
                about=about,
                fills=named,
                body="secret_spec",
                is_create=method == "POST",
            )
        yield Route(
            method="DELETE",
            path=path,
            rpc=f"{_SECRET}/DeleteSecret",
            about="Delete a secret.",
            fills=named,
        )


ROUTES: Sequence[Route] = (
    Route(
        method="POST",
        path="projects",
        rpc=f"{_PROJECT}/CreateProject",
        about="Create a project.",
        fills={},
        body="project",
        is_create=True,
    ),
    Route(
        method="PUT",
        path="projects/{project}",
        rpc=f"{_PROJECT}/UpdateProject",
        about="Replace a project's name, description, labels and state.",
        fills={"project": "project.id"},
        body="project",
    ),
    Route(
        method="PUT",
        path=OF_TASK + "/versions/{version}",
        rpc=f"{_TASK}/DeployTask",
        about="Deploy a version of a task; the same again changes nothing, another is refused.",
        fills=_TASK_ID,
        body="",
    ),
    Route(
        method="POST",
        path=IN_DOMAIN + "runs",
        rpc=f"{_RUN}/CreateRun",
        about="Create the run of this name, once however often it is sent.",
        fills={"project": "run_id.project", "domain": "run_id.domain"},
        header=Header("idempotency-key", "run_id.name"),
        body="",
        answer="run",
        is_create=True,
    ),
    Route(
        method="POST",
        path=IN_DOMAIN + "runs",
        rpc=f"{_RUN}/CreateRun",
        about="Create a run, with a name of the server's.",
        fills=_PROJECT_ID,
        body="",
        answer="run",
        is_create=True,
    ),
    Route(
        method="PATCH",
        path=OF_RUN,
        rpc=f"{_PLATFORM_RUN}/SetRunsState",
        about="Archive a run, or make it active again.",
        fills={"project": "project", "domain": "domain", "run": "runs"},
        body="",
    ),
    Route(
        method="POST",
        path=OF_RUN + ":abort",
        rpc=f"{_RUN}/AbortRun",
        about="Abort a run.",
        fills=_RUN_ID,
        body="",
    ),
    Route(
        method="POST",
        path=_OF_ACTION + ":abort",
        rpc=f"{_RUN}/AbortAction",
        about="Abort an action.",
        fills=_ACTION_ID,
        body="",
    ),
    Route(
        method="POST",
        path=_OF_ACTION + ":signal",
        rpc=f"{_RUN}/SignalEvent",
        about="Answer a condition that a run waits for.",
        fills=_ACTION_ID,
        body="",
    ),
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
        path=IN_DOMAIN + "tasks",
        rpc=f"{_TASK}/ListTasks",
        about="List tasks, each with its latest version.",
        fills=_PROJECT_ID,
        listed=Listed(fields.TASKS, {"entrypoint": "is_entrypoint"}),
    ),
    Route(
        method="GET",
        path=OF_TASK,
        rpc=f"{_TASK}/ListVersions",
        about="List the versions of a task.",
        fills=_TASK_NAME,
        listed=Listed(fields.TASKS),
    ),
    Route(
        method="GET",
        path=OF_TASK + "/versions/{version}",
        rpc=f"{_TASK}/GetTaskDetails",
        about="Get a version of a task.",
        fills=_TASK_ID,
        answer="details",
    ),
    Route(
        method="GET",
        path=IN_DOMAIN + "runs",
        rpc=f"{_RUN}/ListRuns",
        about="List runs that are not archived; with archived=true, those that are.",
        fills=_PROJECT_ID,
        listed=Listed(fields.RUNS, {"archived": "archived"}, hides="archived"),
    ),
    Route(
        method="GET",
        path=OF_RUN,
        rpc=f"{_RUN}/GetRunDetails",
        about="Get a run, with its root action.",
        fills=_RUN_ID,
        answer="details",
    ),
    Route(
        method="GET",
        path=OF_RUN + "/actions",
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
        about="Get the inputs and outputs of an action as plain JSON values, by their types.",
        fills=_ACTION_ID,
        flag="values",
        renders_values=True,
    ),
    Route(
        method="GET",
        path=_OF_ACTION + "/data",
        rpc=f"{_DATA}/GetActionData",
        about="Get the inputs and outputs of an action.",
        fills=_ACTION_ID,
    ),
    Route(
        method="GET",
        path=_OF_ACTION + "/logs",
        rpc=f"{_DATA}/TailLogs",
        about=(
            "Follow the log of an attempt, one line of JSON for each of its lines, until it is complete."
            " After ten seconds without a line there is an empty one."
        ),
        fills=_ACTION_ID,
        query={"attempt": "attempt"},
        flag="follow",
        lines="logs.lines",
    ),
    Route(
        method="GET",
        path=_OF_ACTION + "/logs",
        rpc=f"{_LOG}/ReadLines",
        about="Read lines of the log of an attempt, by default the last lines of the last attempt.",
        fills={name: name for name in ("project", "domain", "run", "action")},
        query={name: name for name in ("attempt", "first_line", "limit")},
    ),
    *COPIES,
    *LAUNCHES,
    *DOMAINS,
    *TRIGGERS,
    *_settings(),
    *_secrets(),
)
