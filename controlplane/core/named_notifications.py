"""
Named notifications of an org: delivery configurations, and rules that name them. PURE.

A delivery configuration says where and with what content; a rule says for which phases. Runs name
either, so that an address is kept in one place and may change without them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
)
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
    """A webhook, an e-mail, or both."""

    name: str
    webhook: Webhook | None = None
    email: Email | None = None
    version: int = 0


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


def render_content(named: Named) -> Mapping[str, Any]:
    """Return the content for storage, as JSON without name and version."""
    if isinstance(named, DeliveryConfig):
        return {
            "webhook": None if named.webhook is None else asdict(named.webhook),
            "email": None if named.email is None else asdict(named.email),
        }
    return {
        "phases": sorted(phase.value for phase in named.phases),
        "configs": list(named.configs),
    }


def parse_content(kind: NamedKind, name: str, content: Mapping[str, Any], version: int) -> Named:
    """Return what ``render_content`` made JSON of."""
    if kind is NamedKind.CONFIG:
        webhook, email = content["webhook"], content["email"]
        return DeliveryConfig(
            name=name,
            webhook=None if webhook is None else Webhook(**webhook),
            email=None if email is None else Email(**email),
            version=version,
        )
    return NamedRule(
        name=name,
        phases=frozenset(map(Phase, content["phases"])),
        configs=content["configs"],
        version=version,
    )


def has_same_content(one: Named, other: Named) -> bool:
    return render_content(one) == render_content(other)
