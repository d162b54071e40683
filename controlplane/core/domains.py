"""Domains of an org, which all its projects have. PURE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.model.ids import DomainName

DEFAULTS: Mapping[DomainName, str] = {
    DomainName("development"): "Development",
    DomainName("staging"): "Staging",
    DomainName("production"): "Production",
}
"""Domains that an org has until it changes or deletes them; the values are display names."""

MAX_DOMAINS = 100


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain with its name for display."""

    id: DomainName
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredDomain:
    """A domain that an org has created, changed, or (a default one) deleted."""

    domain: Domain
    is_deleted: bool


def merge(stored: Sequence[StoredDomain], org_created_at: datetime) -> Sequence[Domain]:
    """Return an org's domains in the order of their creation: defaults unless they are changed."""
    known = {each.domain.id for each in stored}
    domains = [
        Domain(id_, name, org_created_at) for id_, name in DEFAULTS.items() if id_ not in known
    ]
    domains += [each.domain for each in stored if not each.is_deleted]
    order = list(DEFAULTS)

    def key(domain: Domain) -> tuple[datetime, int, str]:
        place = order.index(domain.id) if domain.id in DEFAULTS else len(order)
        return domain.created_at, place, domain.id

    return sorted(domains, key=key)
