"""Addresses of the database."""

from controlplane.core.addresses import Addresses

POOLER = "postgresql://volary:hidden@pooler/volary"
SERVER = "postgresql://volary:hidden@server/volary"


def test_addresses_are_pooled_if_statements_and_listening_differ() -> None:
    assert Addresses(orgs=POOLER, fleet=POOLER, direct=SERVER).pooled
    assert not Addresses(orgs=SERVER, fleet=SERVER, direct=SERVER).pooled


def test_addresses_hide_their_passwords() -> None:
    assert "hidden" not in repr(Addresses(orgs=POOLER, fleet=POOLER, direct=SERVER))
