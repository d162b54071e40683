"""
Signed addresses by which a webhook's receiver answers a condition. PURE.

An address names one condition and the time until which it answers, and carries an HMAC over both.
Nothing is stored: any replica with the key verifies it. A condition takes one answer, so an address
works once, however it was answered.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode
from uuid import UUID

from controlplane.core.signing import LinkAlteredError, LinkExpiredError, SigningKey, SigningKeys
from shared.model.ids import (
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)

PREFIX = "/callbacks"
"""Path below which ``controlplane.web.callbacks`` serves."""
LIFETIME = timedelta(days=30)
"""How long an address answers a condition that has no timeout, or a longer one."""

_PURPOSE = "volary condition callback 1"  # no MAC of another kind can pass for one of these


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """Permission to answer one condition until ``expires_at``, which is to the second."""

    org: OrgName
    action: ActionKey
    id: UUID  # of the action: a later run of the same name is another one
    expires_at: datetime


def render(callback: Callback, keys: SigningKeys) -> str:
    """Return the address as path and query, to append to the public URL."""
    query = {**_terms(callback), "signature": _mac(callback, keys.current)}
    return (
        f"{PREFIX}/{'/'.join(quote(each, safe='') for each in _path(callback))}?{urlencode(query)}"
    )


def parse(path: str, query: Mapping[str, str], *, keys: SigningKeys, now: datetime) -> Callback:
    """
    Return what a valid address permits; LinkAlteredError, LinkExpiredError.

    ``path`` is below :data:`PREFIX` and decoded, ``query`` its decoded parameters.
    """
    try:
        org, project, domain, run, action = path.split("/")
        callback = Callback(
            org=OrgName(org),
            action=ActionKey(
                RunKey(ProjectName(project), DomainName(domain), RunName(run)), ActionName(action)
            ),
            id=UUID(query["id"]),
            expires_at=datetime.fromtimestamp(_seconds(query["expires"]), UTC),
        )
        signature = query["signature"].encode("ascii")
    except (KeyError, ValueError, OverflowError) as error:
        raise LinkAlteredError("this address is incomplete or malformed") from error
    fits = [
        hmac.compare_digest(signature, _mac(callback, key).encode())
        for key in (keys.current, *keys.previous)
    ]
    as_made = {**_terms(callback), "signature": query["signature"]} == dict(query)
    if not (any(fits) and as_made):
        raise LinkAlteredError("this address was altered, or signed with a key since retired")
    if now >= callback.expires_at:
        raise LinkExpiredError(f"this address expired at {callback.expires_at.isoformat()}")
    return callback


def _path(callback: Callback) -> tuple[str, ...]:
    run = callback.action.run
    return (callback.org, run.project, run.domain, run.name, callback.action.name)


def _terms(callback: Callback) -> dict[str, str]:
    return {"id": str(callback.id), "expires": str(int(callback.expires_at.timestamp()))}


def _mac(callback: Callback, key: SigningKey) -> str:
    # JSON, so that no two callbacks serialize to the same bytes.
    payload = json.dumps([_PURPOSE, _path(callback), _terms(callback)], sort_keys=True)
    digest = hmac.digest(key.secret, payload.encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ValueError(f"{text!r} is no count")
    return int(text)
