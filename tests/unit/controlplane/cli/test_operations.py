"""We test how operators' commands parse, lay out and refuse; what they do is tested on Postgres."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from controlplane.cli import main
from controlplane.cli.operations import Duration, _plain as plain
from controlplane.cli.tables import ago, render_fields, span, table
from controlplane.embedded.connectivity import database_url_of
from controlplane.embedded.errors import UpError
from shared.model.phases import Phase
from tests.factories import NOW


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("45", 45), ("0", 0)]
)
def test_durations_are_written_as_people_do(text: str, seconds: int) -> None:
    assert Duration().convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "-5", "1.5h", "ten", "9" * 12, "5d"])
def test_malformed_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a duration; write 90s, 10m or 2h"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(days=3, hours=4, minutes=5), "3d 4h"),
        (timedelta(hours=2, minutes=5), "2h 5m"),
        (timedelta(minutes=2, seconds=5), "2m 5s"),
        (timedelta(seconds=5.7), "5s"),
        (timedelta(milliseconds=230), "0.2s"),
        (timedelta(seconds=-1), "0.0s"),
    ],
)
def test_span_is_formatted_in_its_two_largest_units(length: timedelta, words: str) -> None:
    assert span(length) == words


def test_ago_formats_a_missing_time_as_never() -> None:
    assert ago(None, NOW) == "never"
    assert ago(NOW - timedelta(minutes=1), NOW) == "1m 0s ago"


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert list(table(("A", "LONG"), [("wide cell", 1), ("", True), (None, None)])) == [
        "A          LONG",
        "wide cell  1",
        "           yes",
        "-          -",
    ]
    assert list(render_fields({"a": 1, "long": NOW})) == [
        "a     1",
        "long  2026-06-01T12:00:00+00:00",
    ]


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Thing:
    at: object
    rest: object


def test_json_is_made_of_plain_values() -> None:
    thing = Thing(at=NOW, rest=[Phase.TIMED_OUT, Colour.RED, timedelta(seconds=5), {"a": None}])
    assert plain(thing) == {
        "at": "2026-06-01T12:00:00+00:00",
        "rest": ["timed_out", "red", 5.0, {"a": None}],
    }


@pytest.mark.parametrize(
    "command",
    [
        ["cluster"],
        *(["cluster", name] for name in ("list", "show", "cordon", "uncordon", "drain", "move")),
        ["queue"],
        *(["queue", name] for name in ("list", "set", "delete")),
        ["explain"],
    ],
)
def test_every_command_has_help_of_its_own(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_missing_database_error_names_the_options(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["cluster", "list", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert f"no database is running in {tmp_path}" in result.output
    assert "--data-dir" in result.output
    assert "VOLARY_DATABASE_URL" in result.output


def test_unreachable_database_error_hides_its_password() -> None:
    url = "postgresql://me:pa55word@127.0.0.1:1/nowhere"
    result = CliRunner().invoke(main, ["queue", "list", "--database-url", url])
    assert result.exit_code == 1
    assert result.output.startswith("Error: cannot use the database at 127.0.0.1:1/nowhere")
    assert "pa55word" not in result.output


def test_malformed_database_url_error_hides_its_password() -> None:
    result = CliRunner().invoke(main, ["queue", "list", "--database-url", "me:pa55word@nowhere"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: --database-url is invalid")
    assert "postgresql" in result.output
    assert "pa55word" not in result.output


def test_database_url_of_a_data_directory_uses_its_socket(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "postgres-application").write_text("a/b\n")
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    pid = tmp_path / "postgres" / "data" / "postmaster.pid"
    pid.write_text("1\n/data\n123\n5432\n/tmp/volary postgres-x\n\n 1 2\nready\n")
    assert database_url_of(tmp_path) == (
        "postgresql://volary_login:a%2Fb@/volary?host=/tmp/volary%20postgres-x"
    )
    pid.unlink()
    with pytest.raises(UpError):
        database_url_of(tmp_path)
