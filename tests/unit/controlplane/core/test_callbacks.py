"""Addresses that answer conditions: what they permit, and which are refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID

import pytest

from controlplane.core.callbacks import PREFIX, Callback, parse, render
from controlplane.core.signing import LinkAlteredError, LinkExpiredError, SigningKey, SigningKeys
from tests.factories import ORG, make_action_key

OLD, NEW = SigningKey(b"o" * 32), SigningKey(b"n" * 32)
KEYS = SigningKeys(current=NEW, previous=[OLD])
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
CALLBACK = Callback(
    org=ORG, action=make_action_key("cond"), id=UUID(int=7), expires_at=NOW + timedelta(hours=1)
)


def take_apart(address: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(address)
    return unquote(parts.path).removeprefix(f"{PREFIX}/"), dict(parse_qsl(parts.query))


@pytest.mark.parametrize("key", [OLD, NEW])
def test_address_permits_what_it_was_made_for_with_any_key_that_still_verifies(
    key: SigningKey,
) -> None:
    path, query = take_apart(render(CALLBACK, SigningKeys(current=key)))

    assert parse(path, query, keys=KEYS, now=NOW) == CALLBACK
    with pytest.raises(LinkExpiredError, match="expired at 2026-11-29T13:00:00"):
        parse(path, query, keys=KEYS, now=CALLBACK.expires_at)


@pytest.mark.parametrize(
    "change",
    [
        {"id": str(UUID(int=8))},
        {"expires": "99999999999"},
        {"expires": "-1"},
        {"expires": "9" * 30},
        {"id": "x"},
        {"signature": "ö"},
        {"signature": "AAAA"},
        {"more": "1"},
    ],
)
def test_address_with_altered_terms_is_refused(change: dict[str, str]) -> None:
    path, query = take_apart(render(CALLBACK, KEYS))

    with pytest.raises(LinkAlteredError):
        parse(path, {**query, **change}, keys=KEYS, now=NOW)


def test_address_of_another_action_or_key_or_of_none_is_refused() -> None:
    path, query = take_apart(render(CALLBACK, KEYS))
    _, strange = take_apart(render(CALLBACK, SigningKeys(current=SigningKey(b"x" * 32))))
    _, other = take_apart(render(replace(CALLBACK, action=make_action_key("a1")), KEYS))

    for signed in ({}, strange, other):
        with pytest.raises(LinkAlteredError):
            parse(path, signed, keys=KEYS, now=NOW)
    for wrong in ("", path + "/x", path.replace("cond", "a1")):
        with pytest.raises(LinkAlteredError):
            parse(wrong, query, keys=KEYS, now=NOW)
