"""
Routes that create a run as a copy of another: with its task, inputs and RunSpec.

FlyteAdmin's relaunch and recover. A client of CreateRun reads the other run itself and sends all of it; here the
same RPCs are called for it, as the same caller.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, GetRunDetailsRequest
from google.protobuf.message import Message

from controlplane.api.resources.route import OF_RUN, Header, Route
from controlplane.api.server import Bound
from controlplane.api.validation import validate
from controlplane.core.callers import Caller
from controlplane.core.errors import NotAllowedError
from controlplane.core.relations import RelationType
from shared.model.ids import ROOT

_RUN = "flyteidl2.workflow.RunService"
_DATA = "flyteidl2.dataproxy.DataProxyService"
_PLACEHOLDER = "copied"
"""Name of the task until the other run's takes its place; the message has to have one before."""

_RELATED = {
    name: f"run_spec.relation.related_to.{field}"
    for name, field in (("project", "project"), ("domain", "domain"), ("run", "name"))
}
_NAMED = {"project": "run_id.project", "domain": "run_id.domain"}
_UNNAMED = {"project": "project_id.name", "domain": "project_id.domain"}


def _routes(verb: str, relation: RelationType, body: str | None, about: str) -> Sequence[Route]:
    named = Route(
        method="POST",
        path=f"{OF_RUN}:{verb}",
        rpc=f"{_RUN}/CreateRun",
        about=f"{about}, as the run of this name, once however often it is sent.",
        fills=_RELATED,
        also=_NAMED,
        header=Header("idempotency-key", "run_id.name"),
        body=body,
        answer="run",
        is_create=True,
        copies=relation,
    )
    unnamed = Route(
        method="POST",
        path=f"{OF_RUN}:{verb}",
        rpc=f"{_RUN}/CreateRun",
        about=f"{about}, as a run with a name of the server's.",
        fills=_RELATED,
        also=_UNNAMED,
        body=body,
        answer="run",
        is_create=True,
        copies=relation,
    )
    return (named, unnamed)


COPIES: Sequence[Route] = (
    *_routes("rerun", RelationType.RERUN, None, "Run a run's task again with its inputs"),
    *_routes(
        "recover",
        RelationType.RECOVER,
        "run_spec.recover",
        "Run a run again, and take over what succeeded but for the actions that the body names",
    ),
)


def prepare(request: CreateRunRequest, relation: RelationType) -> None:
    """Give a request what the rules of the message require; the task is there until it is copied."""
    request.run_spec.relation.relation_type = relation.value
    related = request.run_spec.relation.related_to
    request.task_id.project, request.task_id.domain = related.project, related.domain
    request.task_id.name = request.task_id.version = _PLACEHOLDER


def copying(
    bound: Mapping[str, Bound],
) -> Callable[[Caller, Any], Awaitable[Message]]:
    """Return the method that creates a run as a copy of the one that its request relates to."""

    async def create(caller: Caller, request: CreateRunRequest) -> Message:
        if caller.attempt is not None:
            raise NotAllowedError("tasks start copies of runs by CreateRun, with what they copy")
        related = request.run_spec.relation.related_to
        found: Any = await bound[f"{_RUN}/GetRunDetails"].function(
            caller, GetRunDetailsRequest(run_id=related)
        )
        data: Any = await bound[f"{_DATA}/GetActionData"].function(
            caller, GetActionDataRequest(action_id=ActionIdentifier(run=related, name=ROOT))
        )
        settings = RunSpec()
        settings.CopyFrom(found.details.run_spec)
        for field in ("relation", "related_to", "recover"):
            settings.ClearField(field)
        settings.relation.CopyFrom(request.run_spec.relation)
        if request.run_spec.HasField("recover"):
            settings.recover.CopyFrom(request.run_spec.recover)
        request.run_spec.CopyFrom(settings)
        request.task_spec.CopyFrom(found.details.action.task)
        request.inputs.CopyFrom(data.inputs)
        validate(request)
        made: Message = await bound[f"{_RUN}/CreateRun"].function(caller, request)
        return made

    return create
