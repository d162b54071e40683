"""Named rules and delivery configurations: what is refused, and what is stored."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.named_notifications import (
    MOST_CONFIGS,
    DeliveryConfig,
    Named,
    NamedKind,
    NamedRow,
    NamedRule,
    has_same_content,
    kind_of,
    parse_config,
    render_config,
    render_content,
    require_named,
)
from controlplane.core.notifications import Email, Rule, Webhook
from controlplane.core.webhook_signatures import SigningSecret
from shared.kit.secrets import SecretText
from shared.model.phases import Phase

WEBHOOK = Webhook(url="https://example.com/{{.Run.Name}}", headers={"X-Team": "a"}, body="{}")
EMAIL = Email(to=["a@example.com"], cc=["b@example.com"], bcc=[], subject="{{.Phase}}", text="t")
CONFIG = DeliveryConfig(name="chat", webhook=WEBHOOK, email=EMAIL)
RULE = NamedRule(name="night", phases=frozenset({Phase.FAILED}), configs=["chat", "mail"])


SIGNING = (
    SigningSecret(secret=SecretText("whsec_bmV3")),
    SigningSecret(secret=SecretText("whsec_b2xk"), until=datetime(2026, 1, 1, tzinfo=UTC)),
)


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, signing=SIGNING),
        replace(CONFIG, webhook=None),
        replace(CONFIG, email=None),
    ],
)
def test_delivery_configuration_that_can_be_sent_is_stored_and_read_again(
    config: DeliveryConfig,
) -> None:
    require_named(config)

    read = parse_config(config.name, render_config(config), 7)

    assert read == replace(config, version=7)
    assert has_same_content(read, replace(config, signing=()))
    assert not has_same_content(read, RULE)


def test_rule_that_can_be_sent_is_stored_and_read_again() -> None:
    require_named(RULE)

    row = NamedRow(kind=kind_of(RULE), name=RULE.name, content=render_content(RULE), version=7)

    assert row.rule == replace(RULE, version=7)
    assert has_same_content(row.rule, RULE)


@pytest.mark.parametrize(
    ("config", "receivers"),
    [
        (CONFIG, ("https://example.com", True)),
        (replace(CONFIG, webhook=None), ("", True)),
        (replace(CONFIG, email=None), ("https://example.com", False)),
    ],
)
def test_row_of_a_delivery_configuration_has_only_its_receivers_in_the_clear(
    config: DeliveryConfig, receivers: tuple[str, bool]
) -> None:
    row = NamedRow(kind=NamedKind.CONFIG, name="chat", content=render_content(config))

    assert (row.target, row.sends_mail) == receivers
    assert set(row.content) == {"target", "sends_mail"}


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (replace(CONFIG, name="Not a name"), "delivery configuration"),
        (replace(RULE, name=""), "notification rule"),
        (DeliveryConfig(name="chat"), "names no delivery"),
        (
            replace(CONFIG, webhook=replace(WEBHOOK, body="{{.Prompt}}")),
            "delivery_config.webhook.body_template: there is no field",
        ),
        (replace(CONFIG, email=replace(EMAIL, to=[])), "delivery_config.email.to: is empty"),
        (replace(RULE, phases=frozenset()), "phases: name one or more of ABORTED"),
        (replace(RULE, phases=frozenset({Phase.PAUSED})), "phases: name one or more of ABORTED"),
        (replace(RULE, configs=[]), "delivery_configs: name 1 to"),
        (replace(RULE, configs=["chat", "chat"]), "each once"),
        (replace(RULE, configs=list(map(str, range(MOST_CONFIGS + 1)))), "delivery_configs"),
    ],
)
def test_named_notification_that_cannot_be_sent_is_refused(named: Named, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        require_named(named)


def test_named_rule_has_a_rule_for_each_of_its_delivery_configurations() -> None:
    assert RULE.rules == [Rule(phases=RULE.phases, config=each) for each in ("chat", "mail")]


def test_kinds_have_names_for_people() -> None:
    assert [kind.noun for kind in NamedKind] == ["delivery configuration", "notification rule"]
