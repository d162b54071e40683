"""Routes of triggers, which are FlyteAdmin's launch plans."""

from collections.abc import Mapping, Sequence

from controlplane.api.resources import fields
from controlplane.api.resources.route import IN_DOMAIN, OF_TASK, Header, Listed, Route

_TRIGGER = "flyteidl2.trigger.TriggerService"
_OF_TRIGGER = OF_TASK + "/triggers/{trigger}"


def _name(field: str) -> Mapping[str, str]:
    """Return where the parts of a trigger's name go; of a repeated field, to its first one."""
    return {
        "project": f"{field}.project",
        "domain": f"{field}.domain",
        "task": f"{field}.task_name",
        "trigger": f"{field}.name",
    }


_TASK_NAME = {
    "project": "task_name.project",
    "domain": "task_name.domain",
    "task": "task_name.name",
}
_LISTED = Listed(fields.TRIGGERS, {"active": "active"})

TRIGGERS: Sequence[Route] = (
    Route(
        method="GET",
        path=IN_DOMAIN + "triggers",
        rpc=f"{_TRIGGER}/ListTriggers",
        about="List triggers.",
        fills={"project": "project_id.name", "domain": "project_id.domain"},
        listed=_LISTED,
    ),
    Route(
        method="GET",
        path=OF_TASK + "/triggers",
        rpc=f"{_TRIGGER}/ListTriggers",
        about="List the triggers of a task.",
        fills=_TASK_NAME,
        listed=_LISTED,
    ),
    Route(
        method="GET",
        path=_OF_TRIGGER,
        rpc=f"{_TRIGGER}/GetTriggerDetails",
        about="Get the current revision of a trigger.",
        fills=_name("name"),
        answer="trigger",
    ),
    Route(
        method="GET",
        path=_OF_TRIGGER + "/revisions",
        rpc=f"{_TRIGGER}/GetTriggerRevisionHistory",
        about="List the revisions of a trigger.",
        fills=_name("name"),
        listed=Listed(fields.REVISIONS),
    ),
    Route(
        method="GET",
        path=_OF_TRIGGER + "/revisions/{revision}",
        rpc=f"{_TRIGGER}/GetTriggerRevisionDetails",
        about="Get a revision of a trigger.",
        fills={**_name("id.name"), "revision": "id.revision"},
        answer="trigger",
    ),
    Route(
        method="PUT",
        path=_OF_TRIGGER,
        rpc=f"{_TRIGGER}/DeployTrigger",
        about="Replace a trigger, if its revision is still the one in if-match.",
        fills=_name("name"),
        header=Header("if-match", "revision", is_etag=True),
        body="",
        answer="trigger",
    ),
    Route(
        method="PUT",
        path=_OF_TRIGGER,
        rpc=f"{_TRIGGER}/DeployTrigger",
        about="Create a trigger, or replace it whatever its revision is.",
        fills=_name("name"),
        body="",
        answer="trigger",
    ),
    Route(
        method="PATCH",
        path=_OF_TRIGGER,
        rpc=f"{_TRIGGER}/UpdateTriggers",
        about="Activate or deactivate a trigger.",
        fills=_name("names"),
        body="",
    ),
    Route(
        method="DELETE",
        path=_OF_TRIGGER,
        rpc=f"{_TRIGGER}/DeleteTriggers",
        about="Delete a trigger; its revisions stay readable.",
        fills=_name("names"),
    ),
    Route(
        method="POST",
        path=_OF_TRIGGER + ":run",
        rpc="flyteidl2.workflow.RunService/CreateRun",
        about="Start the run of this name of a trigger's task, once however often it is sent.",
        fills=_name("trigger_name"),
        also={"project": "run_id.project", "domain": "run_id.domain"},
        header=Header("idempotency-key", "run_id.name"),
        body="",
        answer="run",
        is_create=True,
    ),
    Route(
        method="POST",
        path=_OF_TRIGGER + ":run",
        rpc="flyteidl2.workflow.RunService/CreateRun",
        about="Start a run of a trigger's task, with its inputs, now.",
        fills=_name("trigger_name"),
        also={"project": "project_id.name", "domain": "project_id.domain"},
        body="",
        answer="run",
        is_create=True,
    ),
)
