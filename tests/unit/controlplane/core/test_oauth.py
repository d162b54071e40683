"""Rules of the authorization server: redirect addresses, user codes, replaced tokens."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.core.oauth import (
    CALLBACK,
    GRACE,
    RefreshStatus,
    classify_replaced,
    family_of_code,
    is_loopback_callback,
    normalise_user_code,
)
from shared.kit.secrets import SecretText

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "address",
    [CALLBACK, "http://localhost:1/callback", "http://localhost:65535/callback"],
)
def test_redirect_address_may_have_any_port(address: str) -> None:
    assert is_loopback_callback(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://localhost/callback",
        "http://localhost:0/callback",
        "http://localhost:65536/callback",
        "http://localhost:080/callback",
        "https://localhost:80/callback",
        "http://localhost:80/callback/",
        "http://localhost:80/callback?next=//evil.example",
        "http://localhost:80/callback#x",
        "http://localhost:80/Callback",
        "http://localhost:80//callback",
        "http://localhost:80/other/../callback",
        "http://localhost:80@evil.example/callback",
        "http://localhost@evil.example:80/callback",
        "http://localhost:80\\@evil.example/callback",
        "http://localhost.evil.example:80/callback",
        "http://evil.example:80/callback",
        "http://127.0.0.1:80/callback",
        "http://[::1]:80/callback",
        "http://localhost:80/callback\n",
        " http://localhost:80/callback",
        "//localhost:80/callback",
        "javascript:alert(1)//http://localhost:80/callback",
    ],
)
def test_foreign_redirect_address_is_refused(address: str) -> None:
    assert not is_loopback_callback(address)


def test_replaced_token_is_classified_by_when_it_was_replaced() -> None:
    assert classify_replaced(None, NOW) is RefreshStatus.INVALID
    assert classify_replaced(NOW - GRACE, NOW) is RefreshStatus.REPEATED
    late = NOW - GRACE - timedelta(milliseconds=1)
    assert classify_replaced(late, NOW) is RefreshStatus.REUSED


@pytest.mark.parametrize("typed", ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk\n", "b-c-d-f-g-h-j-k"])
def test_user_code_is_read_however_it_is_typed(typed: str) -> None:
    assert normalise_user_code(typed) == "BCDF-GHJK"


@pytest.mark.parametrize("typed", ["", "BCDF", "BCDF-GHJKL", "ABCD-EFGH", "\uff22CDF-GHJK", "ßß"])
def test_text_that_cannot_be_a_user_code_is_none(typed: str) -> None:
    assert normalise_user_code(typed) is None


def test_family_follows_from_the_code() -> None:
    code = SecretText("code")
    assert family_of_code(code) == family_of_code(SecretText("code"))
    assert family_of_code(code) != family_of_code(SecretText("other"))
