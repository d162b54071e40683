"""
Shared access signatures (SAS) of single blobs of Azure. PURE.

obstore signs the percent-encoded name of a blob, Azure verifies the decoded one: obstore's
links to names with a space or an umlaut are refused. Source of the strings that are signed:
"Create a service SAS" and "Create a user delegation SAS" of Azure's REST reference, for
version 2022-11-02.
"""

import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

VERSION = "2022-11-02"
READ, CREATE, WRITE = "r", "c", "cw"


@dataclass(frozen=True, slots=True)
class AccountKey:
    """A key of the storage account; links signed with it are service SASs."""

    key: str = field(repr=False)  # base64


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationKey:
    """A key that the store gave to an identity; links signed with it are user delegation SASs."""

    object_id: str
    tenant_id: str
    start: str  # as the store wrote the times, which are signed
    expiry: str
    service: str
    version: str
    key: str = field(repr=False)  # base64
    until: datetime


def sign(
    key: AccountKey | DelegationKey,
    *,
    account: str,
    container: str,
    blob: str,
    permissions: str,
    expiry: datetime,
    https_only: bool,
) -> str:
    """Return the query of a URL for one blob, which is named as it is, without percent-encoding."""
    written = expiry.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    protocol = "https" if https_only else ""
    resource = f"/blob/{account}/{container}/{blob}"
    start = ""  # from now on, whatever the store's clock says
    if isinstance(key, AccountKey):
        identity = [""]  # no stored access policy
        query = {}
    else:
        identity = [key.object_id, key.tenant_id, key.start, key.expiry, key.service, key.version]
        query = dict(zip(("skoid", "sktid", "skt", "ske", "sks", "skv"), identity, strict=True))
        identity += [""] * 3  # authorized and unauthorized user, correlation id
    snapshot = encryption_scope = ip_range = ""
    response_headers = [""] * 5
    fields = [permissions, start, written, resource, *identity, ip_range, protocol]
    fields += [VERSION, "b", snapshot, encryption_scope, *response_headers]
    signature = hmac.digest(b64decode(key.key), "\n".join(fields).encode(), "sha256")
    query = {"sv": VERSION, "spr": protocol, "se": written, "sr": "b", "sp": permissions, **query}
    query["sig"] = b64encode(signature).decode()
    return urlencode({name: text for name, text in query.items() if text})
