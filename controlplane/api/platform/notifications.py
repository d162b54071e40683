"""NotificationService: deliveries of notifications."""

from controlplane.api.platform.conventions import ListCall, parse_id, render_time
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError
from controlplane.core.notifications import Delivery, DeliveryState
from controlplane.usecases.notifications import Notifications
from shared.idl.platform.v1 import notification_pb2 as pb

_STATES = {state.name.lower(): state for state in DeliveryState}


class NotificationService:
    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    async def list_deliveries(
        self, caller: Caller, request: pb.ListDeliveriesRequest
    ) -> pb.ListDeliveriesResponse:
        call = ListCall(caller, request)
        token = call.listing.token
        found, before = await self._notifications.list_deliveries(
            caller,
            _parse_states(request.state),
            limit=call.listing.limit,
            before=parse_id(token, "page_token") if token else None,
        )
        return pb.ListDeliveriesResponse(
            deliveries=map(_render, found),
            next_page_token=call.next_token("" if before is None else str(before)),
        )

    async def resend_deliveries(
        self, caller: Caller, request: pb.ResendDeliveriesRequest
    ) -> pb.ResendDeliveriesResponse:
        ids = frozenset(parse_id(each, "ids") for each in request.ids)
        resent = await self._notifications.resend_deliveries(caller, ids)
        return pb.ResendDeliveriesResponse(resent=map(str, resent))


def _parse_states(state: str) -> frozenset[DeliveryState]:
    if not state:
        return frozenset(DeliveryState)
    if state not in _STATES:
        raise InvalidError(f"state: {state[:80]!r} is not one of {', '.join(sorted(_STATES))}")
    return frozenset({_STATES[state]})


def _render(delivery: Delivery) -> pb.Delivery:
    message = pb.Delivery(
        id=str(delivery.id),
        project=delivery.project,
        domain=delivery.domain,
        phase=delivery.phase.name,
        channel=delivery.channel.name.lower(),
        delivery_config=delivery.config,
        receiver=delivery.target,
        state=delivery.state.name.lower(),
        tries=delivery.tries,
        status=delivery.status,
        error=delivery.error,
        created_at=render_time(delivery.created_at),
        due_at=render_time(delivery.due_at if delivery.state is DeliveryState.PENDING else None),
        ended_at=render_time(delivery.ended_at),
    )
    if delivery.action is not None:
        message.run, message.action = delivery.action.run.name, delivery.action.name
    return message
