"""Parses the notification rules of a RunSpec, and what a condition asks."""

import json
from datetime import timedelta
from typing import Any

from flyteidl2.notification.definition_pb2 import (
    EmailDeliveryTemplate,
    HttpMethod,
    WebhookDeliveryTemplate,
)
from flyteidl2.task.run_pb2 import InlineRule, RunSpec
from flyteidl2.workflow.run_definition_pb2 import ConditionAction, ConditionPromptType
from google.protobuf.json_format import MessageToDict

from controlplane.api.convert.strings import parse_text
from controlplane.api.convert.timestamps import parse_duration
from controlplane.core.errors import InvalidError
from controlplane.core.notifications import (
    MOST_RULES,
    Email,
    Notifications,
    Rule,
    Webhook,
    fields_of,
    require_email,
    require_phases,
    require_webhook,
)
from controlplane.usecases.deliveries import Prompt
from shared.model.phases import Phase

_FIELD = "run_spec.notification_rules"
_METHOD = "HTTP_METHOD_"
CALLBACK_FIELD = "{callback_uri}"
_EXACT_INTEGERS = 2**53


def parse_notifications(settings: RunSpec) -> Notifications:
    """Parse the rules of a run; InvalidError names the field that cannot be delivered."""
    if settings.notification_rule_name:
        field = "run_spec.notification_rule_name"
        return Notifications(name=parse_text(settings.notification_rule_name, field, most=256))
    rules = settings.notification_rules.rules
    if len(rules) > MOST_RULES:
        raise InvalidError(f"{_FIELD}: at most {MOST_RULES} rules, not {len(rules)}")
    return Notifications(
        rules=[_parse_rule(rule, f"{_FIELD}.rules[{n}]") for n, rule in enumerate(rules)]
    )


class RunSpecReader:
    """Reads stored messages for the loop that delivers notifications."""

    def notifications(self, run_spec: bytes) -> Notifications:
        return parse_notifications(RunSpec.FromString(run_spec))

    def prompt(self, condition: bytes) -> Prompt:
        message = ConditionAction.FromString(condition)
        return Prompt(
            prompt=message.prompt,
            description=message.description,
            prompt_type=_render_prompt_type(message.prompt_type),
        )

    def webhook(self, condition: bytes, callback_url: str) -> Webhook | None:
        message = ConditionAction.FromString(condition)
        if not message.HasField("webhook"):
            return None
        payload = MessageToDict(message.webhook.payload)
        return Webhook(
            url=message.webhook.url,
            headers={"Content-Type": "application/json"},
            body=json.dumps(_with_callback(payload, callback_url)),
        )

    def timeout(self, condition: bytes) -> timedelta | None:
        message = ConditionAction.FromString(condition)
        return parse_duration(message.timeout, "timeout") or None


def _with_callback(value: Any, url: str) -> Any:
    """Return the payload with the address in place of each ``{callback_uri}`` in its strings."""
    match value:
        case str():
            return value.replace(CALLBACK_FIELD, url)
        case dict():
            return {name: _with_callback(each, url) for name, each in value.items()}
        case list():
            return [_with_callback(each, url) for each in value]
        case float() if value.is_integer() and abs(value) < _EXACT_INTEGERS:
            return int(value)  # a Struct has no integers, and the author wrote one
        case _:
            return value


def _render_prompt_type(number: int) -> str:
    if number not in ConditionPromptType.values():
        return str(number)  # of a later release
    name: str = ConditionPromptType.Name(number)
    return name.removeprefix("CONDITION_PROMPT_TYPE_")


def _parse_rule(message: InlineRule, field: str) -> Rule:
    phases = frozenset(_parse_phase(number, f"{field}.on_phases") for number in message.on_phases)
    require_phases(phases, f"{field}.on_phases")
    if message.delivery_config_name:
        name = parse_text(message.delivery_config_name, f"{field}.delivery_config_name", most=256)
        return Rule(phases=phases, config=name)
    template, known = message.delivery_template, fields_of(phases)
    webhook = email = None
    if template.HasField("webhook"):
        webhook = _parse_webhook(template.webhook, f"{field}.webhook")
        require_webhook(webhook, f"{field}.webhook", known)
    if template.HasField("email"):
        email = _parse_email(template.email, f"{field}.email")
        require_email(email, f"{field}.email", known)
    if webhook is None and email is None:
        raise InvalidError(f"{field}: names no delivery; give a webhook or an e-mail")
    return Rule(phases=phases, webhook=webhook, email=email)


def _parse_phase(number: int, field: str) -> Phase:
    try:
        return Phase(number)
    except ValueError as error:
        raise InvalidError(f"{field}: {number} is not a phase") from error


def _parse_webhook(message: WebhookDeliveryTemplate, field: str) -> Webhook:
    try:
        method = HttpMethod.Name(message.method).removeprefix(_METHOD)
    except ValueError as error:
        raise InvalidError(f"{field}.method: {message.method} is not known") from error
    return Webhook(
        url=message.url, method=method, headers=dict(message.headers), body=message.body_template
    )


def _parse_email(message: EmailDeliveryTemplate, field: str) -> Email:
    if message.WhichOneof("content") != "inline":
        raise InvalidError(f"{field}: templates of mail providers are not supported; send texts")
    return Email(
        to=[each.address for each in message.to],
        cc=[each.address for each in message.cc],
        bcc=[each.address for each in message.bcc],
        subject=message.inline.subject,
        text=message.inline.text_template,
        html=message.inline.html_template,
    )
