"""V4 signed URLs of Google Cloud Storage, as Google's own library makes them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from google.cloud.storage._signing import generate_signed_url_v4
from google.oauth2.service_account import Credentials

from shared.blobs.gcs import v4
from tests.servers.gcs import EMAIL, ServiceAccount

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_ENDPOINT = "https://storage.googleapis.com"


@pytest.fixture(scope="module")
def account() -> ServiceAccount:
    return ServiceAccount()


@pytest.mark.parametrize(
    "request_",
    [
        ("GET", "plain/a.bin", {}, {}),
        ("GET", "odd/a b é%20+&=c?d~*#1", {}, {}),
        ("PUT", "new", {}, {"x-goog-if-generation-match": "0"}),
        ("PUT", "part", {"partNumber": "12", "uploadId": "AB+/=&c d"}, {}),
        ("POST", "whole", {"uploads": ""}, {}),
    ],
)
def test_gcs_signed_url_is_that_of_googles_library(
    account: ServiceAccount,
    tmp_path: Path,
    request_: tuple[str, str, Mapping[str, str], Mapping[str, str]],
) -> None:
    method, blob, query, headers = request_
    path = f"/bucket/{quote(blob, safe='/-_.~')}"
    theirs = generate_signed_url_v4(
        Credentials.from_service_account_file(account.file(tmp_path)),  # type: ignore[no-untyped-call]
        path,
        timedelta(minutes=15),
        api_access_endpoint=_ENDPOINT,
        method=method,
        headers=dict(headers),
        query_parameters=dict(query),
        _request_timestamp=_NOW.strftime("%Y%m%dT%H%M%SZ"),
    )

    unsigned = v4.prepare(
        method,
        f"{_ENDPOINT}{path}",
        query,
        headers=headers,
        account=EMAIL,
        now=_NOW,
        expires=timedelta(minutes=15),
    )
    ours = unsigned.signed(account.key.sign(unsigned.to_sign, padding.PKCS1v15(), hashes.SHA256()))

    assert ours.lower() == theirs.lower()  # the library writes its headers' names in lower case
    assert ours.rpartition("=")[2] == theirs.rpartition("=")[2]
