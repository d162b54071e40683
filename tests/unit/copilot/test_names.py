"""We test that no name leads out of its directory."""

import os.path

import pytest
from hypothesis import given, strategies

from dataplane.copilot.errors import InvalidDataError
from dataplane.copilot.names import file_name, last_of, relative_path

_TEXTS = strategies.text(strategies.sampled_from("a./\0\\ é"), max_size=12)


@given(_TEXTS)
def test_file_outside_its_directory_is_refused(name: str) -> None:
    try:
        path = f"/var/inputs/{file_name(name, 'an input')}"
    except InvalidDataError:
        return
    assert os.path.normpath(path) == path
    assert os.path.dirname(path) == "/var/inputs"  # noqa: PTH120 - Path would tidy it


@given(_TEXTS)
def test_path_outside_its_directory_is_refused(name: str) -> None:
    try:
        path = f"/var/inputs/{relative_path(name, 'an input')}"
    except InvalidDataError:
        return
    assert os.path.normpath(path) == path
    assert path.startswith("/var/inputs/")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://b/a/x.txt", "x.txt"),
        ("s3://b/a?b/x?y#z", "x?y#z"),
        ("https://h/a/x.txt?token=1/2", "x.txt"),
        ("s3://b/a/", ""),
    ],
)
def test_file_is_named_by_the_end_of_its_uri(uri: str, name: str) -> None:
    assert last_of(uri) == name
