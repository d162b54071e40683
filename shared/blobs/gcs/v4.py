"""
Signed URLs of Google Cloud Storage, in its V4 form with the key of a service account. PURE.

obstore signs no query and no header but its own; parts of uploads, and uploads that may not
replace a blob, need both. Every ``x-goog-`` header that a request sends has to be signed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

_ALGORITHM = "GOOG4-RSA-SHA256"


@dataclass(frozen=True, slots=True)
class UnsignedUrl:
    """A URL to which its signature has to be appended: RSA with SHA-256 over ``to_sign``."""

    url: str
    to_sign: bytes

    def signed(self, signature: bytes) -> str:
        return f"{self.url}&X-Goog-Signature={signature.hex()}"


def prepare(
    method: str,
    url: str,
    query: Mapping[str, str],
    *,
    headers: Mapping[str, str],
    account: str,
    now: datetime,
    expires: timedelta,
) -> UnsignedUrl:
    """
    Return ``url`` with ``query`` and what its signature covers; ``url`` has no query of its own.

    ``account`` is the e-mail address of the service account whose key signs. The signed URL is
    valid only for requests that send exactly these ``headers``.
    """
    parts = urlsplit(url)
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/auto/storage/goog4_request"
    signed = {"host": parts.netloc, **{name.lower(): text for name, text in headers.items()}}
    names = ";".join(sorted(signed))
    options = {
        **query,
        "X-Goog-Algorithm": _ALGORITHM,
        "X-Goog-Credential": f"{account}/{scope}",
        "X-Goog-Date": stamp,
        "X-Goog-Expires": str(int(expires.total_seconds())),
        "X-Goog-SignedHeaders": names,
    }
    canonical_query = "&".join(
        f"{name}={text}"
        for name, text in sorted((_quoted(n), _quoted(t)) for n, t in options.items())
    )
    lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
    request = "\n".join(
        [method, parts.path or "/", canonical_query, *lines, "", names, "UNSIGNED-PAYLOAD"]
    )
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    return UnsignedUrl(f"{url}?{canonical_query}", to_sign.encode())


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
