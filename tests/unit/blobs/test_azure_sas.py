"""Shared access signatures, as Microsoft's own library (azure-storage-blob 12.23.1) makes them."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from shared.blobs.azure import sas

# The library's results, called with the version that ours signs for.
_KEY = "a2V5IG9mIGEgdGVzdA=="
_EXPIRY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_COMMON = "se=2026-01-02T03%3A04%3A05Z&spr=https&sv=2022-11-02&sr=b"
_DELEGATED = (
    "&skoid=oid&sktid=tid&skt=2026-01-01T00%3A00%3A00Z&ske=2026-01-02T06%3A00%3A00Z"
    "&sks=b&skv=2022-11-02"
)
_ACCOUNT = sas.AccountKey(_KEY)
_DELEGATION = sas.DelegationKey(
    object_id="oid",
    tenant_id="tid",
    start="2026-01-01T00:00:00Z",
    expiry="2026-01-02T06:00:00Z",
    service="b",
    version="2022-11-02",
    key=_KEY,
    until=datetime(2026, 1, 2, 6, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("key", "blob", "permissions", "theirs"),
    [
        (
            _ACCOUNT,
            "odd/a b é%20#1",
            "r",
            "&sp=r&sig=KDRwMwULz7CH5cxKN3UvDB26GYxqMCzvaRHXyxXdFHU%3D",
        ),
        (_ACCOUNT, "x/y", "cw", "&sp=cw&sig=ji7dDUZohFs1%2B7GNSJ2OUq5ZwwxuN3hdzfuX%2BWEyols%3D"),
        (
            _DELEGATION,
            "odd/a b é%20#1",
            "r",
            f"{_DELEGATED}&sp=r&sig=PAvrTNNvSLzFOxYQp6DC0Ye6OiL2LXKTNJ1UwTmnEjo%3D",
        ),
        (
            _DELEGATION,
            "x/y",
            "cw",
            f"{_DELEGATED}&sp=cw&sig=3vC2TV2YfrnXHsEbI6VhaGfIxJSWorOj9W%2BkY/bsl0Q%3D",
        ),
    ],
)
def test_azure_sas_is_that_of_microsofts_library(
    key: sas.AccountKey | sas.DelegationKey, blob: str, permissions: str, theirs: str
) -> None:
    ours = sas.sign(
        key,
        account="account",
        container="container",
        blob=blob,
        permissions=permissions,
        expiry=_EXPIRY,
        https_only=True,
    )

    assert parse_qs(ours) == parse_qs(_COMMON + theirs)


def test_azure_keys_are_hidden() -> None:
    assert _KEY not in repr(_ACCOUNT) + repr(_DELEGATION)
