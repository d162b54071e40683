"""Domains of an org: default ones, and what it has changed of them."""

from datetime import UTC, datetime, timedelta

from controlplane.core.domains import Domain, StoredDomain, merge
from shared.model.ids import DomainName

ORG_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
LATER = ORG_CREATED + timedelta(days=1)


def stored(id_: str, name: str, created_at: datetime, *, is_deleted: bool = False) -> StoredDomain:
    return StoredDomain(Domain(DomainName(id_), name, created_at), is_deleted)


def test_org_without_changes_has_the_default_domains() -> None:
    assert [(each.id, each.name) for each in merge([], ORG_CREATED)] == [
        ("development", "Development"),
        ("staging", "Staging"),
        ("production", "Production"),
    ]


def test_domains_are_in_the_order_of_their_creation() -> None:
    found = merge(
        [
            stored("b", "B", LATER),
            stored("a", "A", LATER),
            stored("staging", "Stage", ORG_CREATED),
            stored("development", "", ORG_CREATED, is_deleted=True),
        ],
        ORG_CREATED,
    )

    assert [(each.id, each.name) for each in found] == [
        ("staging", "Stage"),
        ("production", "Production"),
        ("a", "A"),
        ("b", "B"),
    ]
