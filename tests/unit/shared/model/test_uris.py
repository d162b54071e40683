"""Where URIs lie, whatever program reads them."""

import pytest

from shared.model.uris import is_below, may_be_below

S3, FILE = "s3://bucket/volary/acme", "file:///srv/blobs/acme"


@pytest.mark.parametrize("prefix", [S3, f"{S3}/", FILE])
@pytest.mark.parametrize("path", ["a", "a/b.pb", "a//b", "..a/b", "100%/x", "a%20b", "é"])
def test_uri_lies_below_the_prefix_that_it_begins_with(prefix: str, path: str) -> None:
    assert is_below(f"{prefix.rstrip('/')}/{path}", prefix)


@pytest.mark.parametrize(
    "path",
    [
        "../other/x",
        "a/../../other/x",
        "./x",
        "%2e%2e/other/x",
        "%2E%2e/other/x",
        "..%2fother",
        "a%2F..%2Fother",
        "a\\..\\..\\other",
        "%5c..%5cother",
        "%252e%252e/other/x",
        "%25252e/other",
    ],
)
def test_uri_that_a_program_could_read_as_another_place_lies_below_nothing(path: str) -> None:
    assert not is_below(f"{S3}/{path}", S3)


@pytest.mark.parametrize("uri", ["", S3, f"{S3}-2/x", "s3://other/volary/acme/x", "/srv/x", FILE])
def test_uri_elsewhere_does_not_lie_below_the_prefix(uri: str) -> None:
    assert not is_below(uri, S3)
    assert not is_below(f"{S3}/x", "")


@pytest.mark.parametrize(
    ("uri", "base"),
    [
        ("s3://bucket/volary/other/x", "s3://bucket/volary"),
        ("S3://bucket/volary/other", "s3://bucket/volary"),
        ("s3a://BUCKET/volary/other", "s3://bucket/volary"),
        ("s3n://bucket//volary///other", "s3://bucket/volary"),
        ("s3://bucket/x/../volary/other", "s3://bucket/volary"),
        ("s3://bucket/x/%2e%2e/volary/other", "s3://bucket/volary"),
        ("s3://bucket/x/%252e%252e/volary/other", "s3://bucket/volary"),
        ("s3://bucket\\volary\\other", "s3://bucket/volary"),
        ("s3://bucket/volary", "s3://bucket/volary"),
        ("file:///srv/blobs/other", "file:///srv/blobs"),
        ("file://localhost/srv/blobs/other", "file:///srv/blobs"),
        ("file:/srv/blobs/other", "file:///srv/blobs"),
        ("/srv/blobs/other", "file:///srv/blobs"),
        ("/srv/./x/../blobs/a:b", "file:///srv/blobs"),
    ],
)
def test_place_of_the_store_is_found_however_it_is_spelt(uri: str, base: str) -> None:
    assert may_be_below(uri, base)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://mine/raw",
        "s3://bucket/volary-2/x",
        "s3://bucket/volary/../x",
        "gs://bucket/volary/x",
        "/srv/other",
        "",
    ],
)
def test_places_of_other_stores_are_not_of_this_one(uri: str) -> None:
    assert not may_be_below(uri, "s3://bucket/volary")
    assert not may_be_below(uri, "file:///srv/blobs")


def test_uri_that_is_encoded_again_and_again_is_decoded_a_few_times_only() -> None:
    assert not may_be_below("s3://volary/acme%" + "25" * 40 + "2fx", S3)


@pytest.mark.parametrize(
    "uri",
    [
        "abfs://container/volary/acme/x",
        "abfss://container@account.dfs.core.windows.net/volary/acme/x",
        "az://container/volary/acme/x",
    ],
)
def test_names_of_an_azure_container_are_one_place(uri: str) -> None:
    assert may_be_below(uri, "abfs://container/volary/acme")
    assert not may_be_below(uri, "abfs://other/volary/acme")
