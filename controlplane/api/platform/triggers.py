"""TriggerService: triggers with their next instants and firings, and runs of them by hand."""

from collections.abc import Awaitable, Callable
from zoneinfo import ZoneInfoNotFoundError

from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, CreateRunResponse

from controlplane.api.convert import keys
from controlplane.api.convert.strings import parse_text
from controlplane.api.platform.conventions import ListCall, render_time
from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotReadyError
from controlplane.core.firings import Firing, FiringOutcome
from controlplane.core.lists import Filter, Test
from controlplane.core.schedules import CronSchedule, RateSchedule, list_from, render_local
from controlplane.core.triggers import TriggerKey, TriggerRow, TriggerScope
from controlplane.usecases.trigger_reader import TriggerReader
from shared.idl.platform.v1 import trigger_pb2 as pb

CreateRun = Callable[[Caller, CreateRunRequest], Awaitable[CreateRunResponse]]

_SHOWN_INSTANTS = 5
_OUTCOMES = {"started": FiringOutcome.STARTED, "skipped": FiringOutcome.SKIPPED}


class TriggerService:
    """``create_run`` is RunService's; None where there is no object store, as in a command."""

    def __init__(self, triggers: TriggerReader, create_run: CreateRun | None) -> None:
        self._triggers = triggers
        self._create_run = create_run

    async def list_triggers(
        self, caller: Caller, request: pb.ListTriggersRequest
    ) -> pb.ListTriggersResponse:
        call = ListCall(caller, request)
        scope = TriggerScope(
            project=names.parse_project(request.project) if request.project else "",
            domain=names.parse_domain(request.domain) if request.domain else "",
            task_name=parse_text(request.task_name, "task_name", most=255),
        )
        page = await self._triggers.list(caller, scope, call.listing)
        return pb.ListTriggersResponse(
            triggers=[_render(row, most=0) for row in page.rows],
            next_page_token=call.next_token(page.token),
        )

    async def get_trigger(
        self, caller: Caller, request: pb.GetTriggerRequest
    ) -> pb.GetTriggerResponse:
        row = await self._triggers.get(caller, _parse_key(request))
        return pb.GetTriggerResponse(trigger=_render(row, most=_SHOWN_INSTANTS))

    async def list_firings(
        self, caller: Caller, request: pb.ListFiringsRequest
    ) -> pb.ListFiringsResponse:
        call = ListCall(caller, request, [_parse_outcome(request.outcome)])
        page = await self._triggers.list_firings(caller, _parse_key(request), call.listing)
        return pb.ListFiringsResponse(
            firings=map(_render_firing, page.rows), next_page_token=call.next_token(page.token)
        )

    async def fire_trigger(
        self, caller: Caller, request: pb.FireTriggerRequest
    ) -> pb.FireTriggerResponse:
        key = _parse_key(request)
        if self._create_run is None:
            raise NotReadyError(
                "runs are started by a control plane, not on its database; give --url or a login"
            )
        message = CreateRunRequest(trigger_name=keys.render_trigger(caller.org, key))
        if request.run:
            message.run_id.project, message.run_id.domain = key.project, key.domain
            message.run_id.name = request.run
        else:
            message.project_id.name, message.project_id.domain = key.project, key.domain
        created = await self._create_run(caller, message)
        return pb.FireTriggerResponse(run=created.run.action.id.run.name)


def _parse_key(
    request: pb.GetTriggerRequest | pb.ListFiringsRequest | pb.FireTriggerRequest,
) -> TriggerKey:
    return TriggerKey(
        names.parse_project(request.project),
        names.parse_domain(request.domain),
        keys.parse_trigger_part(request.task_name, "task_name"),
        keys.parse_trigger_part(request.name, "name"),
    )


def _parse_outcome(name: str) -> Filter | None:
    if not name:
        return None
    if name not in _OUTCOMES:
        raise InvalidError(f"outcome: {name[:80]!r} is not one of {', '.join(_OUTCOMES)}")
    return Filter("outcome", Test.EQUAL, [str(_OUTCOMES[name].value)])


def _render(row: TriggerRow, *, most: int) -> pb.Trigger:
    message = pb.Trigger(
        project=row.key.project,
        domain=row.key.domain,
        task_name=row.key.task_name,
        name=row.key.name,
        task_version=row.task_version,
        revision=row.revision,
        active=row.active,
        overlap=row.overlap.name.lower(),
        description=row.description,
        deployed_by=row.deployed_by,
        deployed_at=render_time(row.deployed_at),
        updated_by=row.updated_by,
        updated_at=render_time(row.updated_at),
        triggered_at=render_time(row.triggered_at),
        fire_at=render_time(row.fire_at),
        next_instants=_list_instants(row, most),
        skipped=row.skipped,
        error=row.error,
        error_at=render_time(row.error_at),
    )
    match row.schedule:
        case CronSchedule(expression, zone):
            message.cron, message.time_zone = expression, zone
        case RateSchedule(interval):
            message.rate.FromTimedelta(interval)
        case None:
            pass
    return message


def _list_instants(row: TriggerRow, most: int) -> list[pb.Instant]:
    if row.schedule is None or row.fire_at is None or not most:
        return []
    try:
        return [
            pb.Instant(at=render_time(instant), local=render_local(row.schedule, instant))
            for instant in list_from(row.schedule, row.fire_at, most)
        ]
    except ZoneInfoNotFoundError:  # tzdata has dropped it; ``error`` says so at the next instant
        return [pb.Instant(at=render_time(row.fire_at), local=row.fire_at.isoformat())]


def _render_firing(firing: Firing) -> pb.Firing:
    return pb.Firing(
        number=firing.number,
        outcome=firing.outcome.name.lower(),
        reason=firing.reason,
        message=firing.message,
        instant=render_time(firing.instant),
        last_instant=render_time(firing.last_instant),
        instants=firing.instants,
        decided_at=render_time(firing.decided_at),
        run=firing.run,
        by=firing.by,
    )
