"""Which addresses, codings and files the console has."""

from pathlib import Path

import pytest

from controlplane.web.console import (
    choose_encoding,
    find_release,
    is_possible,
    make_policy,
    read_console,
)

PROJECT = "domain/development/project/flytesnacks"


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("br;q=0, gzip;q=0", ""),
        ("br;q=none", ""),
        ("*", ""),
        ("", ""),
        (",;;=,", ""),
    ],
)
def test_content_coding_is_the_one_that_the_client_prefers(accepted: str, chosen: str) -> None:
    assert choose_encoding(accepted, {"br", "gzip"}) == chosen


def test_content_coding_is_one_that_there_is() -> None:
    assert choose_encoding("br, gzip", {"gzip"}) == "gzip"
    assert choose_encoding("br, gzip", ()) == ""


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "me",
        "admin/clusters/c1",
        PROJECT,
        f"{PROJECT}/runs",
        f"{PROJECT}/runs/r1",
        f"{PROJECT}/tasks/module.task",
        f"{PROJECT}/triggers/module.task/daily",
        f"{PROJECT}/tracked-runs/r1",
        f"{PROJECT}/compare",
    ],
)
def test_console_address_that_can_exist_is_possible(rest: str) -> None:
    assert is_possible(rest)


@pytest.mark.parametrize(
    "rest",
    [
        "nothing",
        "domain/development",
        "domain/UPPER/project/flytesnacks/runs",
        "domain/development/project/../runs",
        f"{PROJECT}/runs/No_Such",
        f"{PROJECT}/runs/{'r' * 31}",
        f"{PROJECT}/nothing",
        "admin//x",
        "admin/a/b/c",
    ],
)
def test_console_address_that_cannot_exist_is_not_possible(rest: str) -> None:
    assert not is_possible(rest)


def test_console_that_is_not_built_has_no_files(tmp_path: Path) -> None:
    assert read_console(tmp_path / "none") is None
    assert "+" not in find_release()


def test_console_files_are_read_with_their_compressed_forms(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<html><head></head></html>")
    (tmp_path / "assets" / "a-1.js").write_text("plain")
    (tmp_path / "assets" / "a-1.js.br").write_text("br")
    (tmp_path / "assets" / "a-1.js.gz").write_text("gz")
    (tmp_path / ".vite").mkdir()
    (tmp_path / ".vite" / "manifest.json").write_text("{}")
    built = read_console(tmp_path)
    assert built is not None
    assert f'<meta name="volary-release" content="{built.release}">'.encode() in built.index
    assert list(built.files) == ["assets/a-1.js"]
    assert built.files["assets/a-1.js"].compressed == {"br": b"br", "gzip": b"gz"}
    (tmp_path / "index.html").write_text("<html><head><title>2</title></head></html>")
    again = read_console(tmp_path)
    assert again is not None
    assert again.release != built.release


def test_console_policy_allows_nothing_inline() -> None:
    policy = make_policy("https://bucket.example")
    assert "unsafe" not in policy
    assert "connect-src 'self' https://bucket.example;" in policy
    assert "frame-src 'self' https://bucket.example;" in policy
    assert "connect-src 'self';" in make_policy("")
