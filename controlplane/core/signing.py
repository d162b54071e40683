"""
Signs and verifies links to blobs in a directory, which cannot sign its own. PURE.

A link states everything it allows (method, path, expiry, length and MD5 of the body), and
carries an HMAC over all of it. Nothing is stored: any replica with the key can verify a link.
Keys rotate: links are signed with the current key and verified with the previous ones too,
until those are dropped.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote, urlencode

PREFIX = "/blobs"
"""Path below which ``controlplane.web.blobs`` serves."""

_PURPOSE = "volary signed blob 1"  # no MAC of another kind can pass for one of these


class Method(StrEnum):
    """HTTP methods that a link may allow."""

    GET = "GET"  # and HEAD
    PUT = "PUT"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """At least 32 random bytes, the same on every replica; its repr hides them."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise ValueError(f"a signing key has {len(self.secret)} bytes; give 32 or more")


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that signs, and older keys that still verify."""

    current: SigningKey
    previous: Sequence[SigningKey] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Terms of one link: method, path, expiry and limits of the body."""

    method: Method
    path: str  # below the store's base, not quoted
    expires_at: datetime  # to the second
    length: int | None = None  # of the body, exactly
    max_length: int | None = None  # of the body, at most
    md5: bytes = b""  # of the body, 16 bytes; b"" for any


class LinkError(Exception):
    """The link is refused; the message says why and what to do."""


class LinkAlteredError(LinkError):
    """The link's signature does not match its terms, or the link is malformed."""


class LinkExpiredError(LinkError):
    """The link's signature is valid, and its expiry has passed."""


def sign(grant: Grant, keys: SigningKeys) -> str:
    """Return the link as path and query, to append to the public URL."""
    terms = _terms(grant)
    terms["signature"] = _mac(grant, keys.current).decode()
    return f"{PREFIX}/{quote(grant.path)}?{urlencode(terms)}"


def verify(
    method: str, path: str, query: Mapping[str, str], *, keys: SigningKeys, now: datetime
) -> Grant:
    """
    Return the terms of a valid link; LinkError otherwise.

    ``path`` is below :data:`PREFIX` and decoded, ``query`` its decoded parameters.
    """
    try:
        grant = _parse(path, query)
        signature = query["signature"].encode("ascii")
    except (KeyError, ValueError, OverflowError) as error:
        raise LinkAlteredError(
            "this link is incomplete or malformed; use it exactly as it was given, or ask for"
            " a new one"
        ) from error
    fits = [
        hmac.compare_digest(signature, _mac(grant, key)) for key in (keys.current, *keys.previous)
    ]
    as_made = {**_terms(grant), "signature": query["signature"]} == dict(query)
    if not (any(fits) and as_made):
        raise LinkAlteredError(
            "the signature does not fit this path and its terms: the link was altered, or"
            " signed with a key since retired; ask for a new one"
        )
    if now >= grant.expires_at:
        raise LinkExpiredError(
            f"this link expired at {grant.expires_at.isoformat()}; ask for a new one"
        )
    if method != grant.method and not (method == "HEAD" and grant.method is Method.GET):
        raise LinkAlteredError(f"this link is for {grant.method}, not {method}; ask for one for it")
    return grant


def _terms(grant: Grant) -> dict[str, str]:
    terms = {"method": str(grant.method), "expires": str(int(grant.expires_at.timestamp()))}
    if grant.length is not None:
        terms["length"] = str(grant.length)
    if grant.max_length is not None:
        terms["max-length"] = str(grant.max_length)
    if grant.md5:
        terms["md5"] = _encode(grant.md5)
    return terms


def _parse(path: str, query: Mapping[str, str]) -> Grant:
    return Grant(
        method=Method(query["method"]),
        path=path,
        expires_at=datetime.fromtimestamp(_count(query["expires"]), UTC),
        length=_count(query["length"]) if "length" in query else None,
        max_length=_count(query["max-length"]) if "max-length" in query else None,
        md5=_decode(query["md5"]) if "md5" in query else b"",
    )


def _mac(grant: Grant, key: SigningKey) -> bytes:
    # JSON, so that no two grants serialize to the same bytes.
    payload = json.dumps([_PURPOSE, grant.path, _terms(grant)], sort_keys=True)
    return _encode(hmac.digest(key.secret, payload.encode(), "sha256")).encode()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"{text!r} is no count")
    return int(text)


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
