"""Signature Version 4, checked against the example in Amazon's documentation."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from shared.blobs.sigv4 import AccessKey, presign

_KEY = AccessKey(
    id="AKIAIOSFODNN7EXAMPLE",
    secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",  # noqa: S106 -- the documentation's
)
_NOW = datetime(2013, 5, 24, tzinfo=UTC)


def test_sigv4_matches_the_documented_example() -> None:
    signed = presign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        {},
        key=_KEY,
        region="us-east-1",
        now=_NOW,
        expires=timedelta(days=1),
    )
    assert signed.endswith(
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_sigv4_covers_session_token_and_query() -> None:
    key = AccessKey(id="id", secret="secret", session_token="a/b+c=")  # noqa: S106
    signed = presign(
        "PUT",
        "http://127.0.0.1:9000/bucket/key%20with%20space",
        {"uploadId": "x+y", "partNumber": "7"},
        key=key,
        region="eu-west-1",
        now=_NOW,
        expires=timedelta(minutes=15),
    )
    query = parse_qs(urlsplit(signed).query)
    assert query["X-Amz-Security-Token"] == ["a/b+c="]
    assert query["uploadId"] == ["x+y"]
    assert query["X-Amz-Credential"] == ["id/20130524/eu-west-1/s3/aws4_request"]
    assert query["X-Amz-Expires"] == ["900"]
    assert "secret" not in repr(key)
    assert "a/b+c=" not in repr(key)
