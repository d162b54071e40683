"""Sessions in browsers: how long they are valid, whom they show in an org, where they may lead."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from controlplane.core.browser_sessions import (
    ABSOLUTE,
    HOME,
    IDLE,
    BrowserSession,
    csrf_token_of,
    is_valid,
    parse_return_path,
)
from controlplane.core.identity import User, UserId
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACME, OTHER = OrgName("acme"), OrgName("other")
USER = User(id=UserId(UUID(int=1)), email="ada@acme.example", email_verified=False, name="Ada")
SESSION = BrowserSession(
    id=UUID(int=2),
    user=USER,
    org=ACME,
    provider=UUID(int=3),
    provider_org=ACME,
    email_verified=True,
    peer="",
    browser="",
    created_at=NOW,
    seen_at=NOW,
    expires_at=NOW + ABSOLUTE,
)


def test_address_that_an_orgs_provider_verified_is_verified_in_that_org_only() -> None:
    assert SESSION.user_in(ACME) == replace(USER, email_verified=True)
    assert SESSION.user_in(OTHER) == USER
    assert SESSION.user_in(OrgName("")) == USER


def test_address_that_the_installation_verified_is_verified_everywhere() -> None:
    verified = replace(SESSION, user=replace(USER, email_verified=True))
    assert verified.user_in(OTHER).email_verified


@pytest.mark.parametrize(
    ("used", "now", "valid"),
    [
        (timedelta(), IDLE - timedelta(seconds=1), True),
        (timedelta(), IDLE, False),
        (ABSOLUTE - timedelta(hours=1), ABSOLUTE, False),
    ],
)
def test_session_ends_unused_or_after_a_day(used: timedelta, now: timedelta, valid: bool) -> None:  # noqa: FBT001
    assert is_valid(NOW + used, SESSION.expires_at, NOW + now) is valid


def test_csrf_token_is_the_sessions_and_does_not_reveal_it() -> None:
    session = SecretText("the-session")
    token = csrf_token_of(session)
    assert token == csrf_token_of(SecretText("the-session"))
    assert token != csrf_token_of(SecretText("another"))
    assert session.reveal() not in token.reveal()


@pytest.mark.parametrize("path", ["/", "/orgs", "/v2/domain/d?run=r1&x=%20", "/~ada/a;b@c"])
def test_login_may_lead_to_a_path_of_this_service(path: str) -> None:
    assert parse_return_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "orgs",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\tb",
            "/a\nb",
        ),
        *("/a\\b", "/a b", "/a#b", '/"', "/<x>", "/\u00e9", "/" + "a" * 2_000),
    ],
)
def test_login_leads_home_in_place_of_anything_else(path: str) -> None:
    assert parse_return_path(path) == HOME
    assert parse_return_path(path, "/device") == "/device"
