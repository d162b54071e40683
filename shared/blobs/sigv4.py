"""Presigns S3 URLs (Signature Version 4 in the query) of upload parts, which obstore cannot. PURE."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_PAYLOAD = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """An S3 credential; ``until`` is None for one that does not expire."""

    id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    until: datetime | None = None


def presign(
    method: str,
    url: str,
    query: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    key: AccessKey,
    region: str,
    now: datetime,
    expires: timedelta,
) -> str:
    """
    Return ``url`` with ``query`` and its signature appended; ``url`` must have no query.

    The signed URL is valid only for requests that send exactly these ``headers``.
    """
    parts = urlsplit(url)
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    signed = {"host": parts.netloc, **{n.lower(): text for n, text in (headers or {}).items()}}
    names = ";".join(sorted(signed))
    options = {
        **query,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key.id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(int(expires.total_seconds())),
        "X-Amz-SignedHeaders": names,
    }
    if key.session_token:
        options["X-Amz-Security-Token"] = key.session_token
    canonical_query = "&".join(
        f"{name}={value}"
        for name, value in sorted(
            (_quoted(name), _quoted(value)) for name, value in options.items()
        )
    )
    lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
    request = "\n".join([method, parts.path or "/", canonical_query, *lines, "", names, _PAYLOAD])
    to_sign = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    signing_key = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.digest(signing_key, to_sign.encode(), "sha256").hex()
    return f"{url}?{canonical_query}&X-Amz-Signature={signature}"


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
