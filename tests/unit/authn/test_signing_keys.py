"""Signing keys are published before they sign, and stay until their last token has expired."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.authn.signing_keys import (
    JWKS_MAX_AGE,
    KEPT_AFTER,
    PUBLISHED_BEFORE,
    ROTATE_EVERY,
    NoSigningKeyError,
    TokenKeySet,
    dump_key,
    is_due,
    load_key,
    make_key,
)
from controlplane.core.credentials import ACCESS_TOKENS_LIVE, LEEWAY

START = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_key_signs_from_the_time_it_becomes_active() -> None:
    first, second = make_key(START), make_key(START + ROTATE_EVERY)
    keys = TokenKeySet([second, first])
    assert keys.current(START + ROTATE_EVERY - SECOND) is first
    assert keys.current(START + ROTATE_EVERY) is second


def test_key_set_publishes_the_next_key_before_it_signs() -> None:
    keys = TokenKeySet([make_key(START), make_key(START + ROTATE_EVERY)])
    assert len(keys.jwks(START)["keys"]) == 2


def test_expired_key_is_neither_published_nor_accepted() -> None:
    key = load_key(dump_key(make_key(START)), START, START + ROTATE_EVERY)
    keys = TokenKeySet([key])
    assert keys.find(key.kid, START + ROTATE_EVERY - SECOND) is not None
    assert keys.find(key.kid, START + ROTATE_EVERY) is None
    assert keys.jwks(START + ROTATE_EVERY) == {"keys": []}


def test_signing_key_is_not_used_before_it_is_active() -> None:
    with pytest.raises(NoSigningKeyError):
        TokenKeySet([make_key(START)]).current(START - SECOND)


def test_key_keeps_its_id_when_it_is_loaded_again() -> None:
    key = make_key(START)
    loaded = load_key(dump_key(key), START, None)
    assert loaded.kid == key.kid
    assert loaded.public == key.public


def test_key_set_reports_whether_a_known_key_is_gone() -> None:
    first, second = make_key(START), make_key(START)
    keys = TokenKeySet([first])
    assert not keys.replace([first, second])
    assert keys.replace([second])


def test_successor_is_due_in_time_to_be_published() -> None:
    assert is_due([], START)
    key = make_key(START)
    assert not is_due([key], START + ROTATE_EVERY - PUBLISHED_BEFORE - SECOND)
    assert is_due([key], START + ROTATE_EVERY - PUBLISHED_BEFORE)
    assert not is_due([key, make_key(START + ROTATE_EVERY)], START + ROTATE_EVERY)


def test_rotation_times_cover_caches_and_tokens() -> None:
    assert PUBLISHED_BEFORE > JWKS_MAX_AGE
    assert KEPT_AFTER > ACCESS_TOKENS_LIVE + LEEWAY
