"""Named rules and delivery configurations: what is refused, and what is stored."""

from dataclasses import replace

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.named_notifications import (
    MOST_CONFIGS,
    DeliveryConfig,
    Named,
    NamedKind,
    NamedRule,
    has_same_content,
    kind_of,
    parse_content,
    render_content,
    require_named,
)
from controlplane.core.notifications import Email, Rule, Webhook
from shared.model.phases import Phase

WEBHOOK = Webhook(url="https://example.com/{{.Run.Name}}", headers={"X-Team": "a"}, body="{}")
EMAIL = Email(to=["a@example.com"], cc=["b@example.com"], subject="{{.Phase}}", text="t")
CONFIG = DeliveryConfig(name="chat", webhook=WEBHOOK, email=EMAIL)
RULE = NamedRule(name="night", phases=frozenset({Phase.FAILED}), configs=["chat", "mail"])


@pytest.mark.parametrize(
    "named", [CONFIG, replace(CONFIG, webhook=None), replace(CONFIG, email=None), RULE]
)
def test_named_notification_that_can_be_sent_is_stored_and_read_again(named: Named) -> None:
    require_named(named)

    stored = render_content(named)
    read = parse_content(kind_of(named), named.name, stored, 7)

    assert read == replace(named, version=7)
    assert has_same_content(read, named)


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
