"""TriggerService: deploys, activates, deletes, gets and lists triggers."""

from functools import partial

from flyteidl2.trigger.trigger_service_pb2 import (
    DeleteTriggersRequest,
    DeleteTriggersResponse,
    DeployTriggerRequest,
    DeployTriggerResponse,
    GetTriggerDetailsRequest,
    GetTriggerDetailsResponse,
    GetTriggerRevisionDetailsRequest,
    GetTriggerRevisionDetailsResponse,
    GetTriggerRevisionHistoryRequest,
    GetTriggerRevisionHistoryResponse,
    ListTriggersRequest,
    ListTriggersResponse,
    UpdateTriggersRequest,
    UpdateTriggersResponse,
)

from controlplane.api.convert import keys, triggers as convert
from controlplane.api.convert.lists import parse_listing
from controlplane.core.callers import Caller
from controlplane.usecases.triggers import Triggers
from shared.kit.clock import Clock


class TriggerService:
    """``base`` is the storage prefix below which every org's data lies."""

    def __init__(self, triggers: Triggers, *, base: str, clock: Clock) -> None:
        self._triggers = triggers
        self._base = base
        self._clock = clock

    async def deploy_trigger(
        self, caller: Caller, request: DeployTriggerRequest
    ) -> DeployTriggerResponse:
        row = await self._triggers.deploy(
            caller,
            keys.parse_trigger(request.name),
            convert.parse_version(request),
            partial(
                convert.parse_deploy,
                request,
                org=caller.org,
                base=self._base,
                now=self._clock.now(),
            ),
            revision=request.revision,
        )
        return DeployTriggerResponse(trigger=convert.render_details(caller.org, row))

    async def get_trigger_details(
        self, caller: Caller, request: GetTriggerDetailsRequest
    ) -> GetTriggerDetailsResponse:
        row = await self._triggers.get(caller, keys.parse_trigger(request.name))
        return GetTriggerDetailsResponse(trigger=convert.render_details(caller.org, row))

    async def get_trigger_revision_details(
        self, caller: Caller, request: GetTriggerRevisionDetailsRequest
    ) -> GetTriggerRevisionDetailsResponse:
        row = await self._triggers.get_revision(
            caller, keys.parse_trigger(request.id.name), convert.parse_revision(request.id)
        )
        return GetTriggerRevisionDetailsResponse(trigger=convert.render_details(caller.org, row))

    async def list_triggers(
        self, caller: Caller, request: ListTriggersRequest
    ) -> ListTriggersResponse:
        page = await self._triggers.list(
            caller, convert.parse_scope(request), parse_listing(request.request)
        )
        return ListTriggersResponse(
            triggers=[convert.render_trigger(caller.org, row) for row in page.rows],
            token=page.token,
        )

    async def get_trigger_revision_history(
        self, caller: Caller, request: GetTriggerRevisionHistoryRequest
    ) -> GetTriggerRevisionHistoryResponse:
        page = await self._triggers.list_revisions(
            caller, keys.parse_trigger(request.name), parse_listing(request.request)
        )
        return GetTriggerRevisionHistoryResponse(
            triggers=[convert.render_revision(caller.org, row) for row in page.rows],
            token=page.token,
        )

    async def update_triggers(
        self, caller: Caller, request: UpdateTriggersRequest
    ) -> UpdateTriggersResponse:
        await self._triggers.set_active(
            caller, convert.parse_keys(request.names), active=request.active
        )
        return UpdateTriggersResponse()

    async def delete_triggers(
        self, caller: Caller, request: DeleteTriggersRequest
    ) -> DeleteTriggersResponse:
        await self._triggers.delete(caller, convert.parse_keys(request.names))
        return DeleteTriggersResponse()
