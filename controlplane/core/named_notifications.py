"""
Named notifications of an org: delivery configurations, and rules that name them. PURE.

A delivery configuration says where and with what content; a rule says for which phases. Runs name
either, so that an address is kept in one place and may change without them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from controlplane.core.errors import InvalidError
from controlplane.core.names import parse_notification_name
from controlplane.core.notifications import (
    ENDS,
    RUN_FIELDS,
    Email,
    Rule,
    Webhook,
    require_email,
    require_webhook,
    target_of,
)
from controlplane.core.webhook_signatures import SigningSecret
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.phases import Phase

MOST_NAMED = 200
"""Delivery configurations of an org, and rules of an org."""
MOST_CONFIGS = 10
"""Delivery configurations that a rule may name."""


class NamedKind(IntEnum):
    """Kinds of named things; stored."""

    CONFIG = 1
    RULE = 2

    @property
    def noun(self) -> str:
        return "delivery configuration" if self is NamedKind.CONFIG else "notification rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryConfig:
    """A webhook, an e-mail, or both; ``signing``: what signs the webhook, the newest first."""

    name: str
    webhook: Webhook | None = None
    email: Email | None = None
    version: int = 0
    signing: Sequence[SigningSecret] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRule:
    """Reports these phases by these delivery configurations."""

    name: str
    phases: frozenset[Phase]
    configs: Sequence[str]
    version: int = 0

    @property
    def rules(self) -> Sequence[Rule]:
        return [Rule(phases=self.phases, config=config) for config in self.configs]


Named = DeliveryConfig | NamedRule


def kind_of(named: Named) -> NamedKind:
    return NamedKind.CONFIG if isinstance(named, DeliveryConfig) else NamedKind.RULE


def require_named(named: Named) -> None:
    """Raise InvalidError unless this can be stored; addresses are checked elsewhere."""
    parse_notification_name(named.name, kind_of(named).noun)
    if isinstance(named, DeliveryConfig):
        if named.webhook is None and named.email is None:
            raise InvalidError("delivery_config: names no delivery; give a webhook or an e-mail")
        if named.webhook is not None:
            require_webhook(named.webhook, "delivery_config.webhook", RUN_FIELDS)
        if named.email is not None:
            require_email(named.email, "delivery_config.email", RUN_FIELDS)
        return
    if not named.phases or named.phases - ENDS:
        raise InvalidError(
            f"notification_rule.phases: name one or more of {', '.join(sorted(p.name for p in ENDS))}"
        )
    if not 0 < len(named.configs) <= MOST_CONFIGS or len({*named.configs}) < len(named.configs):
        raise InvalidError(
            f"notification_rule.delivery_configs: name 1 to {MOST_CONFIGS}, each once"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRow:
    """
    A rule or a delivery configuration as it is stored.

    ``content`` is a rule's; of a delivery configuration it is what deliveries show anyway, and
    the rest is sealed in ``envelope``, which the key named ``keyring`` opens.
    """

    kind: NamedKind
    name: str
    content: Mapping[str, Any]
    envelope: bytes = field(default=b"", repr=False)
    keyring: str = ""
    version: int = 0

    @property
    def rule(self) -> NamedRule:
        """The rule that this is the row of."""
        return NamedRule(
            name=self.name,
            phases=frozenset(map(Phase, self.content["phases"])),
            configs=self.content["configs"],
            version=self.version,
        )

    @property
    def target(self) -> str:
        """The receiver of a delivery configuration's webhook; "": it has no webhook."""
        return str(self.content["target"])

    @property
    def sends_mail(self) -> bool:
        return bool(self.content["sends_mail"])


def render_content(named: Named) -> Mapping[str, Any]:
    """Return what is stored in the clear, as JSON without name and version."""
    if isinstance(named, DeliveryConfig):
        return {
            "target": "" if named.webhook is None else target_of(named.webhook.url),
            "sends_mail": named.email is not None,
        }
    return {
        "phases": sorted(phase.value for phase in named.phases),
        "configs": list(named.configs),
    }


def render_config(config: DeliveryConfig) -> SecretBytes:
    """Return the content of a delivery configuration, to be sealed."""
    content = {
        **_render_receivers(config),
        "signing": [
            {
                "secret": each.secret.reveal(),
                "until": None if each.until is None else each.until.isoformat(),
            }
            for each in config.signing
        ],
    }
    return SecretBytes(json.dumps(content).encode())


def parse_config(name: str, content: SecretBytes, version: int) -> DeliveryConfig:
    """Return what ``render_config`` rendered."""
    parsed = json.loads(content.reveal())
    webhook, email = parsed["webhook"], parsed["email"]
    return DeliveryConfig(
        name=name,
        webhook=None if webhook is None else Webhook(**webhook),
        email=None if email is None else Email(**email),
        version=version,
        signing=tuple(
            SigningSecret(
                secret=SecretText(each["secret"]),
                until=None if each["until"] is None else datetime.fromisoformat(each["until"]),
            )
            for each in parsed["signing"]
        ),
    )


def has_same_content(one: Named, other: Named) -> bool:
    """Return whether both are the same thing but for version and signing secrets."""
    if isinstance(one, DeliveryConfig) and isinstance(other, DeliveryConfig):
        return _render_receivers(one) == _render_receivers(other)
    return render_content(one) == render_content(other)


def _render_receivers(config: DeliveryConfig) -> Mapping[str, Any]:
    return {
        "webhook": None if config.webhook is None else asdict(config.webhook),
        "email": None if config.email is None else asdict(config.email),
    }
