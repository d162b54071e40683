"""Identity providers: what settings are accepted, and what is read of their claims."""

from uuid import UUID

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.identity_providers import (
    INSTALLATION,
    MAX_GROUPS,
    Provider,
    ProviderIdentity,
    ProviderSettings,
    parse_claim,
    parse_issuer,
    parse_scopes,
    read_groups,
    read_text,
)
from shared.model.ids import OrgName

ISSUER = "https://login.acme.example/realms/acme"


def provider(number: int = 1, *domains: str) -> Provider:
    settings = ProviderSettings(name="p", issuer=ISSUER, client_id="c", email_domains=domains)
    return Provider(id=UUID(int=number), org=OrgName("acme"), settings=settings, client_secret=None)


def identity(email: str, *, verified: bool = True) -> ProviderIdentity:
    return ProviderIdentity(
        issuer=ISSUER, subject="1", email=email, email_verified=verified, name="", groups=None
    )


def test_person_with_a_verified_address_of_a_domain_joins() -> None:
    acme = provider(1, "acme.example")
    assert acme.joins(identity("ada@acme.example"))
    assert not acme.joins(identity("ada@acme.example", verified=False))
    assert not acme.joins(identity("ada@other.example"))


def test_installations_provider_is_known_by_its_id() -> None:
    assert provider(INSTALLATION.int).is_installation
    assert not provider(1).is_installation


def test_issuer_is_kept_as_it_is_written() -> None:
    assert parse_issuer(f" {ISSUER} ", allow_http=False) == ISSUER
    assert parse_issuer("http://localhost:80", allow_http=True) == "http://localhost:80"


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        ("http://login.acme.example", "use the https URL"),
        ("https://", "use the https URL"),
        ("https://a.example/" + "x" * 500, "use the https URL"),
        ("https://a.example:port", "is not a URL"),
        ("https://[a", "is not a URL"),
        ("https://a.example?x=1", "leave out user, query and fragment"),
        ("https://a.example#x", "leave out user, query and fragment"),
        ("https://u@a.example", "leave out user, query and fragment"),
        ("https://a.example/\u202e", "leave out user, query and fragment"),
    ],
)
def test_address_that_is_no_issuer_is_refused_with_the_remedy(issuer: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        parse_issuer(issuer, allow_http=False)


def test_scopes_always_have_openid_once() -> None:
    assert parse_scopes(("email", "openid", "email")) == ("openid", "email")


@pytest.mark.parametrize("scopes", [["a b"], ['"'], [""], ["x" * 101], ["x"] * 21])
def test_invalid_scopes_are_refused(scopes: list[str]) -> None:
    with pytest.raises(InvalidError, match="at most 20 words"):
        parse_scopes(scopes)


def test_claim_is_a_word_or_a_url() -> None:
    assert parse_claim("https://acme.example/groups") == "https://acme.example/groups"
    with pytest.raises(InvalidError, match="name the claim"):
        parse_claim("a b")


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        ("admins", ["admins"]),
        (["b", "a", "a", 1, None, "", "x" * 257, "line\nend"], ["a", "b"]),
        ({"admins": True}, []),
        (None, []),
    ],
)
def test_groups_are_read_from_a_list_or_a_word(value: object, groups: list[str]) -> None:
    assert read_groups(value) == groups


def test_groups_are_bounded() -> None:
    assert len(read_groups([f"g{number}" for number in range(MAX_GROUPS + 5)])) == MAX_GROUPS


@pytest.mark.parametrize(
    ("value", "text"), [(" Ada\n Lovelace ", "Ada Lovelace"), (7, ""), ("x" * 300, "x" * 256)]
)
def test_text_is_one_printable_bounded_line(value: object, text: str) -> None:
    assert read_text(value) == text
