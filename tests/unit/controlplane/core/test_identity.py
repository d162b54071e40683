"""Rules of orgs, users, roles, keys and invitations."""

from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from controlplane.core import email_addresses, identity
from controlplane.core.callers import Permission, Subject
from controlplane.core.deleted_orgs import Deletion
from controlplane.core.errors import ConflictError, InvalidError
from controlplane.core.roles import OWNER
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName
from tests.factories import NOW

ID = UUID("0198c0de-0000-7000-8000-000000000001")


def test_subjects_name_users_and_service_accounts() -> None:
    user, account = identity.subject_of_user(ID), identity.subject_of_account(ID)
    assert (user, account) == (f"user:{ID}", f"serviceaccount:{ID}")
    assert identity.find_user_id(user) == ID
    assert identity.find_account_id(account) == ID
    assert identity.find_user_id(account) is None
    assert identity.find_account_id(Subject("operator:root")) is None
    assert identity.find_user_id(Subject("user:nobody")) is None


def test_org_that_requires_its_own_provider_admits_no_login_at_another() -> None:
    acme, other, installation = OrgName("acme"), OrgName("other"), OrgName("")
    org = identity.Org(name=acme, display_name="", created_by="", created_at=NOW, version=1)
    assert all(org.admits(provider) for provider in (acme, other, installation))
    assert identity.explain_refusal(acme, org, other) == ""
    strict = replace(org, requires_own_provider=True)
    assert "requires its own identity provider" in identity.explain_refusal(acme, strict, other)
    assert [strict.admits(provider) for provider in (acme, other, installation)] == [
        True,
        False,
        False,
    ]


def test_user_and_account_know_their_subject() -> None:
    user = identity.User(id=identity.UserId(ID), email="", email_verified=False, name="")
    account = identity.ServiceAccount(
        id=ID, name="ci", description="", created_by="", created_at=NOW, disabled_at=None, version=1
    )
    assert (user.subject, account.subject) == (f"user:{ID}", f"serviceaccount:{ID}")


def test_client_id_of_an_api_key_names_it() -> None:
    key = identity.ApiKey(
        id=ID,
        account=ID,
        name="",
        created_by="",
        created_at=NOW,
        expires_at=None,
        last_used_at=None,
        revoked_at=None,
    )
    assert key.client_id == f"ak-{ID.hex}"
    assert identity.find_api_key_id(key.client_id) == ID
    assert identity.find_api_key_id(str(ID)) is None


def test_link_of_an_invitation_leads_to_the_page_where_it_is_accepted() -> None:
    link = identity.link_to_join("https://volary.example/", SecretText("t0ken"))
    assert link == "https://volary.example/join?invitation=t0ken"


def test_role_is_built_in_by_its_name() -> None:
    assert identity.Role(name=OWNER, permissions=frozenset()).is_built_in
    assert not identity.Role(name="mine", permissions=frozenset()).is_built_in


@pytest.mark.parametrize("name", ["Ümlaut", "-a", "a b", "", "a" * 64])
def test_names_of_roles_and_orgs_are_small_letters(name: str) -> None:
    with pytest.raises(InvalidError, match="small letters"):
        identity.parse_role_name(name)
    with pytest.raises(InvalidError, match="small letters"):
        identity.parse_org(name)


def test_valid_names_are_kept() -> None:
    assert identity.parse_org("acme-2") == "acme-2"
    assert identity.parse_role_name("data_team") == "data_team"
    with pytest.raises(InvalidError, match="built in"):
        identity.parse_role_name(OWNER)


def test_permissions_of_a_role_are_known_ones() -> None:
    assert identity.parse_permissions(["run:read"]) == {Permission.RUN_READ}
    with pytest.raises(InvalidError, match=r"unknown permissions a, b; there is action:enqueue"):
        identity.parse_permissions(["b", "run:read", "a"])
    with pytest.raises(InvalidError, match="needs a permission"):
        identity.parse_permissions([])


@pytest.mark.parametrize(
    ("written", "parsed"),
    [("Ada@Acme.Example ", "Ada@acme.example"), ("a+b@x.io", "a+b@x.io")],
)
def test_email_address_has_its_domain_in_lower_case(written: str, parsed: str) -> None:
    assert email_addresses.parse_email(written) == parsed
    assert email_addresses.domain_of(parsed) == parsed.rpartition("@")[2]


@pytest.mark.parametrize("written", ["", "a", "@x", "a@", "a b@x.io", "a@b@c d", "a\n@x.io"])
def test_text_that_is_no_email_address_is_refused(written: str) -> None:
    with pytest.raises(InvalidError, match="not an e-mail address"):
        email_addresses.parse_email(written)
    assert email_addresses.domain_of("nobody") == ""


def test_addresses_are_the_same_in_any_case() -> None:
    assert email_addresses.is_same_address("Ada@x.io", "ada@X.io")
    assert not email_addresses.is_same_address("", "")


def test_email_domain_is_one_that_not_everyone_can_have() -> None:
    assert email_addresses.parse_email_domain("@Acme.Example") == "acme.example"
    with pytest.raises(InvalidError, match="anyone can have"):
        email_addresses.parse_email_domain("gmail.com")
    with pytest.raises(InvalidError, match="not the domain"):
        email_addresses.parse_email_domain("localhost")


def test_texts_for_people_are_one_printable_line() -> None:
    assert identity.parse_display(" Ada ", "name") == "Ada"
    for text in ("a\nb", "x" * 257, "a\x1b[31m"):
        with pytest.raises(InvalidError, match="name: use at most 256 printable"):
            identity.parse_display(text, "name")
    assert identity.parse_group("ml team") == "ml team"
    with pytest.raises(InvalidError, match="group: name it"):
        identity.parse_group(" ")


def test_invitation_lives_up_to_thirty_days() -> None:
    assert identity.parse_life(timedelta(days=30)) == timedelta(days=30)
    for life in (timedelta(0), timedelta(days=30, seconds=1)):
        with pytest.raises(InvalidError, match="up to 30 days"):
            identity.parse_life(life)


def test_stale_version_is_refused_naming_both() -> None:
    identity.require_version("role r", 3, None)
    identity.require_version("role r", 3, 3)
    with pytest.raises(ConflictError, match="role r is at version 3, not 2"):
        identity.require_version("role r", 3, 2)


def test_owner_link_is_an_invitation_that_an_operator_made_for_an_owner() -> None:
    link = identity.Invitation(
        id=ID,
        role=OWNER,
        email="",
        project="",
        domain="",
        created_by="operator:root",
        created_at=NOW,
        expires_at=NOW,
        used_at=None,
        used_by=None,
    )
    assert link.is_owner_link
    for other in (
        replace(link, role="viewer"),
        replace(link, project="p"),
        replace(link, created_by=f"user:{ID}"),
    ):
        assert not other.is_owner_link


def test_api_key_has_the_form_that_the_sdk_takes() -> None:
    key = identity.encode_api_key(
        "https://volary.example:8443", "ak-1", SecretText("secret"), OrgName("acme")
    )
    assert b64decode(key.reveal()).decode() == "volary.example:ak-1:secret:acme"


def test_org_that_is_missing_or_deleted_refuses_everyone_and_says_why() -> None:
    acme = OrgName("acme")
    assert identity.explain_refusal(acme, None, acme) == "org acme does not exist"
    deletion = Deletion(
        deleted_at=NOW, deleted_by="user:ada", agents_until=NOW, erase_at=NOW + timedelta(days=14)
    )
    org = identity.Org(
        name=acme, display_name="", created_by="", created_at=NOW, version=1, deletion=deletion
    )
    assert "the operator can restore it until" in identity.explain_refusal(acme, org, acme)
    final = replace(org, deletion=replace(deletion, erasing_since=NOW))
    assert identity.explain_refusal(acme, final, acme).endswith("and its data is erased")
