"""DeliveryConfigService and NotificationRuleService: what runs name to be reported."""

from controlplane.api.platform.conventions import (
    ListCall,
    parse_duration,
    parse_mask,
    parse_version,
    render_time,
)
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError
from controlplane.core.named_notifications import (
    DeliveryConfig,
    Named,
    NamedKind,
    NamedRule,
)
from controlplane.core.notifications import ENDS, Email, Webhook
from controlplane.usecases.named_notifications import NamedNotifications
from shared.idl.platform.v1 import notification_pb2 as pb
from shared.model.phases import Phase

_PHASES = {phase.name: phase for phase in ENDS}


class DeliveryConfigService:
    def __init__(self, named: NamedNotifications) -> None:
        self._named = named

    async def create_delivery_config(
        self, caller: Caller, request: pb.CreateDeliveryConfigRequest
    ) -> pb.CreateDeliveryConfigResponse:
        made = await self._named.create(caller, _parse_config(request.delivery_config))
        return pb.CreateDeliveryConfigResponse(delivery_config=_render_config(made))

    async def get_delivery_config(
        self, caller: Caller, request: pb.GetDeliveryConfigRequest
    ) -> pb.GetDeliveryConfigResponse:
        found = await self._named.get(caller, NamedKind.CONFIG, request.name)
        return pb.GetDeliveryConfigResponse(delivery_config=_render_config(found))

    async def list_delivery_configs(
        self, caller: Caller, request: pb.ListDeliveryConfigsRequest
    ) -> pb.ListDeliveryConfigsResponse:
        call = ListCall(caller, request)
        found, after = await self._named.list(
            caller, NamedKind.CONFIG, limit=call.listing.limit, after=call.listing.token
        )
        return pb.ListDeliveryConfigsResponse(
            delivery_configs=map(_render_config, found), next_page_token=call.next_token(after)
        )

    async def update_delivery_config(
        self, caller: Caller, request: pb.UpdateDeliveryConfigRequest
    ) -> pb.UpdateDeliveryConfigResponse:
        mask = parse_mask(request.update_mask, ["webhook", "email"])
        config = _parse_config(request.delivery_config)
        changed = await self._named.update(
            caller, config, {field: getattr(config, field) for field in mask}
        )
        return pb.UpdateDeliveryConfigResponse(delivery_config=_render_config(changed))

    async def delete_delivery_config(
        self, caller: Caller, request: pb.DeleteDeliveryConfigRequest
    ) -> pb.DeleteDeliveryConfigResponse:
        await self._named.delete(caller, NamedKind.CONFIG, request.name)
        return pb.DeleteDeliveryConfigResponse()

    async def rotate_signing_secret(
        self, caller: Caller, request: pb.RotateSigningSecretRequest
    ) -> pb.RotateSigningSecretResponse:
        overlap = None
        if request.HasField("overlap"):
            overlap = parse_duration(request.overlap, "overlap")
        config = DeliveryConfig(name=request.name, version=parse_version(request.version) or 0)
        changed, new = await self._named.rotate_signing_secret(caller, config, overlap=overlap)
        earlier = changed.signing[1:]
        return pb.RotateSigningSecretResponse(
            signing_secret=new.secret.reveal(),
            previous_until=render_time(earlier[0].until if earlier else None),
            delivery_config=_render_config(changed),
        )


class NotificationRuleService:
    def __init__(self, named: NamedNotifications) -> None:
        self._named = named

    async def create_notification_rule(
        self, caller: Caller, request: pb.CreateNotificationRuleRequest
    ) -> pb.CreateNotificationRuleResponse:
        made = await self._named.create(caller, _parse_rule(request.notification_rule))
        return pb.CreateNotificationRuleResponse(notification_rule=_render_rule(made))

    async def get_notification_rule(
        self, caller: Caller, request: pb.GetNotificationRuleRequest
    ) -> pb.GetNotificationRuleResponse:
        found = await self._named.get(caller, NamedKind.RULE, request.name)
        return pb.GetNotificationRuleResponse(notification_rule=_render_rule(found))

    async def list_notification_rules(
        self, caller: Caller, request: pb.ListNotificationRulesRequest
    ) -> pb.ListNotificationRulesResponse:
        call = ListCall(caller, request)
        found, after = await self._named.list(
            caller, NamedKind.RULE, limit=call.listing.limit, after=call.listing.token
        )
        return pb.ListNotificationRulesResponse(
            notification_rules=map(_render_rule, found), next_page_token=call.next_token(after)
        )

    async def update_notification_rule(
        self, caller: Caller, request: pb.UpdateNotificationRuleRequest
    ) -> pb.UpdateNotificationRuleResponse:
        mask = parse_mask(request.update_mask, ["phases", "delivery_configs"])
        rule = _parse_rule(request.notification_rule)
        fields: dict[str, object] = {}
        if "phases" in mask:
            fields["phases"] = rule.phases
        if "delivery_configs" in mask:
            fields["configs"] = rule.configs
        changed = await self._named.update(caller, rule, fields)
        return pb.UpdateNotificationRuleResponse(notification_rule=_render_rule(changed))

    async def delete_notification_rule(
        self, caller: Caller, request: pb.DeleteNotificationRuleRequest
    ) -> pb.DeleteNotificationRuleResponse:
        await self._named.delete(caller, NamedKind.RULE, request.name)
        return pb.DeleteNotificationRuleResponse()


def _parse_config(message: pb.DeliveryConfig) -> DeliveryConfig:
    webhook = email = None
    if message.HasField("webhook"):
        webhook = Webhook(
            url=message.webhook.url,
            method=message.webhook.method or "POST",
            headers=dict(message.webhook.headers),
            body=message.webhook.body,
        )
    if message.HasField("email"):
        email = Email(
            to=list(message.email.to),
            cc=list(message.email.cc),
            bcc=list(message.email.bcc),
            subject=message.email.subject,
            text=message.email.text,
            html=message.email.html,
        )
    return DeliveryConfig(
        name=message.name,
        webhook=webhook,
        email=email,
        version=parse_version(message.version) or 0,
    )


def _parse_rule(message: pb.NotificationRule) -> NamedRule:
    return NamedRule(
        name=message.name,
        phases=frozenset(map(_parse_phase, message.phases)),
        configs=list(message.delivery_configs),
        version=parse_version(message.version) or 0,
    )


def _parse_phase(name: str) -> Phase:
    if name not in _PHASES:
        raise InvalidError(
            f"notification_rule.phases: {name[:80]!r} is not one of {', '.join(sorted(_PHASES))}"
        )
    return _PHASES[name]


def _render_config(named: Named) -> pb.DeliveryConfig:
    if not isinstance(named, DeliveryConfig):
        raise TypeError(f"{named} is no delivery configuration")
    message = pb.DeliveryConfig(name=named.name, version=named.version, signed=bool(named.signing))
    if named.webhook is not None:
        message.webhook.CopyFrom(
            pb.WebhookTemplate(
                url=named.webhook.url,
                method=named.webhook.method,
                headers=named.webhook.headers,
                body=named.webhook.body,
            )
        )
    if named.email is not None:
        message.email.CopyFrom(
            pb.EmailTemplate(
                to=named.email.to,
                cc=named.email.cc,
                bcc=named.email.bcc,
                subject=named.email.subject,
                text=named.email.text,
                html=named.email.html,
            )
        )
    return message


def _render_rule(named: Named) -> pb.NotificationRule:
    if not isinstance(named, NamedRule):
        raise TypeError(f"{named} is no notification rule")
    return pb.NotificationRule(
        name=named.name,
        phases=sorted(phase.name for phase in named.phases),
        delivery_configs=named.configs,
        version=named.version,
    )
