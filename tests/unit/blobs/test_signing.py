"""A signed link allows exactly its path, method and terms, until it expires."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import assume, given, strategies as st

from controlplane.core.signing import (
    PREFIX,
    Grant,
    LinkAlteredError,
    LinkError,
    LinkExpiredError,
    Method,
    SigningKey,
    SigningKeys,
    sign,
    verify,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = SigningKey(b"o" * 32)
OLD = SigningKey(b"p" * 32)
KEYS = SigningKeys(OURS)

lengths = st.none() | st.integers(0, 10**15)
grants = st.builds(
    Grant,
    method=st.sampled_from(Method),
    path=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    expires_at=st.integers(1, 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    length=lengths,
    max_length=lengths,
    md5=st.binary(min_size=16, max_size=16) | st.just(b""),
)


def received(link: str) -> tuple[str, dict[str, str]]:
    """Parse a link as a server does."""
    url = urlsplit(link)
    return unquote(url.path).removeprefix(f"{PREFIX}/"), dict(parse_qsl(url.query))


def check(
    link: str, *, method: str = "GET", keys: SigningKeys = KEYS, now: datetime = NOW
) -> Grant:
    path, query = received(link)
    return verify(method, path, query, keys=keys, now=now)


def make_grant(method: Method = Method.GET) -> Grant:
    return Grant(method=method, path="org/a b.txt", expires_at=NOW + timedelta(minutes=5))


@given(grants)
def test_signed_link_returns_its_grant(grant: Grant) -> None:
    assert check(sign(grant, KEYS), method=grant.method) == grant


@given(grants, grants, st.data())
def test_signed_link_terms_are_not_exchangeable(
    grant: Grant, other: Grant, data: st.DataObject
) -> None:
    path, query = received(sign(grant, KEYS))
    other_path, other_query = received(sign(other, KEYS))
    term = data.draw(st.sampled_from(["path", *sorted({*query, *other_query})]))
    changed = dict(query)
    if term == "path":
        path, changed_something = other_path, path != other_path
    else:
        changed_something = query.get(term) != other_query.get(term)
        changed.pop(term, None)
        if term in other_query:
            changed[term] = other_query[term]
    assume(changed_something)

    with pytest.raises(LinkAlteredError):
        verify(grant.method, path, changed, keys=KEYS, now=NOW)


@given(grants, st.data())
def test_signed_link_rejects_any_changed_character(grant: Grant, data: st.DataObject) -> None:
    path, query = received(sign(grant, KEYS))
    term = data.draw(st.sampled_from(sorted(query)))
    position = data.draw(st.integers(0, len(query[term]) - 1))
    character = data.draw(st.characters(exclude_categories=["Cs"]))
    assume(character != query[term][position])
    query[term] = query[term][:position] + character + query[term][position + 1 :]

    with pytest.raises(LinkError):
        verify(grant.method, path, query, keys=KEYS, now=NOW)


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_signed_link_rejects_garbage(path: str, query: dict[str, str]) -> None:
    with pytest.raises(LinkAlteredError):
        verify("GET", path, query, keys=KEYS, now=NOW)


def test_signed_link_rejects_extra_parameters() -> None:
    path, query = received(sign(make_grant(), KEYS))

    with pytest.raises(LinkAlteredError):
        verify("GET", path, {**query, "md5": ""}, keys=KEYS, now=NOW)
    with pytest.raises(LinkAlteredError):
        verify("GET", path, {**query, "download": "1"}, keys=KEYS, now=NOW)


def test_signed_link_is_valid_until_its_expiry() -> None:
    link = sign(make_grant(), KEYS)

    check(link, now=NOW + timedelta(minutes=5, seconds=-1))
    with pytest.raises(LinkExpiredError, match="expired at 2026-01-01T00:05:00"):
        check(link, now=NOW + timedelta(minutes=5))


def test_signed_link_altered_and_expired_is_reported_as_altered() -> None:
    path, query = received(sign(make_grant(), KEYS))

    with pytest.raises(LinkAlteredError, match="altered"):
        verify("GET", f"{path}x", query, keys=KEYS, now=NOW + timedelta(days=1))


def test_signed_link_to_read_allows_get_and_head_only() -> None:
    link = sign(make_grant(), KEYS)

    check(link, method="HEAD")
    with pytest.raises(LinkAlteredError, match="this link is for GET, not PUT"):
        check(link, method="PUT")


def test_signed_link_to_write_does_not_allow_reading() -> None:
    link = sign(make_grant(Method.PUT), KEYS)

    for method in ("GET", "HEAD", "DELETE", "POST"):
        with pytest.raises(LinkAlteredError, match=f"for PUT, not {method}"):
            check(link, method=method)


def test_signed_link_of_previous_key_is_valid_until_it_is_dropped() -> None:
    link = sign(make_grant(), SigningKeys(OLD))

    check(link, keys=SigningKeys(OURS, previous=(OLD,)))
    with pytest.raises(LinkAlteredError, match="retired"):
        check(link, keys=SigningKeys(OURS))


def test_signing_key_repr_hides_the_key() -> None:
    assert "oooo" not in repr(SigningKeys(OURS, previous=(OLD,)))
    assert "pppp" not in repr(SigningKeys(OURS, previous=(OLD,)))


def test_signing_key_too_short_is_rejected() -> None:
    with pytest.raises(ValueError, match="31 bytes; give 32 or more"):
        SigningKey(b"x" * 31)
