"""
Copies a database to an archive with pg_dump, and an archive into an empty database.

A restore is one transaction: psql runs the archive's script, then checks that each table has as
many rows as the manifest says, then raises what the copy has forgotten (``restored_sql``). If any
of it fails, or this process dies, the database is as empty as before.
"""

import shutil
import subprocess
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from controlplane.core.backups import CHANGE_STEP, EPOCH_STEP, BackupError, Manifest
from controlplane.store.backups.programs import (
    Programs,
    apply_command,
    dump_command,
    script_command,
    split_password,
)
from controlplane.store.backups.snapshots import Connection
from controlplane.store.phase_guards import is_live

_CHUNK_BYTES = 1024 * 1024
_SAID_BYTES = 4_000

# Roles belong to the server, so no archive of a database has them.
_ROLES = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""
_TAKE_ROLE = """
DO $$ BEGIN
    IF NOT pg_has_role(current_user, 'volary_app', 'USAGE') THEN
        EXECUTE format('GRANT volary_app TO %I', current_user);
    END IF;
END $$
"""


def dump(programs: Programs, url: str, *, snapshot: str, archive: Path, compression: int) -> None:
    """Write the archive of an exported snapshot, and wait until it is on the disk; BackupError."""
    address, environment = split_password(url)
    command = dump_command(programs, address, snapshot=snapshot, compression=compression)
    with archive.open("wb") as file, tempfile.TemporaryFile() as words:
        code = subprocess.run(  # noqa: S603  # our own command line
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=words,
            check=False,
        ).returncode
        _require_success("pg_dump", code, words)


async def ensure_roles(connection: Connection) -> None:
    """Create the roles to which the archive's grants refer, as the first migration does."""
    for role in ("volary_app", "volary_fleet"):
        await connection.execute(_ROLES.format(role=role))
    await connection.execute(_TAKE_ROLE)


def restore(programs: Programs, url: str, *, archive: Path, manifest: Manifest) -> None:
    """Fill an empty database from an archive, in one transaction; BackupError. Blocks."""
    address, environment = split_password(url)
    with tempfile.TemporaryFile() as words, tempfile.TemporaryFile() as words_of_psql:
        source = subprocess.Popen(  # noqa: S603  # our own command line
            script_command(programs, str(archive)),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
        )
        target = subprocess.Popen(  # noqa: S603  # our own command line
            apply_command(programs, address),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=words_of_psql,
        )
        try:
            # Until its input ends psql commits nothing: whatever fails before that undoes it all.
            with suppress(BrokenPipeError):  # psql has ended, and says why
                _pump(source, target)
                _require_success("pg_restore", source.wait(), words)
                _finish(target, f"\n{_counted_sql(manifest)}\n{_marked_sql(manifest)}\n".encode())
            _require_success("psql", target.wait(), words_of_psql)
        finally:
            for process in (target, source):
                process.kill()
                process.wait()
                with suppress(BrokenPipeError):  # what was not written yet is not to be
                    for pipe in filter(None, (process.stdin, process.stdout)):
                        pipe.close()


async def mark(connection: Connection, taken_at: datetime, *, volary: str) -> None:
    """Mark a database that was restored by other means; see ``restored_sql``."""
    async with connection.transaction():
        await connection.execute(restored_sql(taken_at, volary=volary, archive_sha256=""))


def restored_sql(taken_at: datetime, *, volary: str, archive_sha256: str) -> str:
    """
    Return statements that mark a database as a copy of ``taken_at``.

    No number that the copy has forgotten is given again, and no cluster leases work until the
    operator releases it.

    Epochs fence sessions of replicas and agents that have seen more than the copy; change numbers
    lead watchers past what they have seen. Numbers of runs that have ended change no more.
    """
    return f"""
SET LOCAL search_path = public;
UPDATE clusters
SET epoch = epoch + {EPOCH_STEP}, connected = false, counted_at = NULL,
    restored_at = now(), reconciled_at = NULL;
DELETE FROM restore_findings;
INSERT INTO restores (restored_at, taken_at, volary, archive_sha256)
VALUES (clock_timestamp(), '{taken_at.isoformat()}', {_quote(volary)}, {_quote(archive_sha256)});
UPDATE orgs SET deleted_cluster_epoch = deleted_cluster_epoch + {EPOCH_STEP};
UPDATE runs r SET change = r.change + {CHANGE_STEP}
WHERE EXISTS (SELECT FROM actions a
              WHERE a.org = r.org AND a.run_id = r.run_id AND {is_live("a.phase")});
"""


def _marked_sql(manifest: Manifest) -> str:
    return restored_sql(
        manifest.taken_at, volary=manifest.volary, archive_sha256=manifest.archive_sha256
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _counted_sql(manifest: Manifest) -> str:
    checks = "\n".join(_counted(table, rows) for table, rows in sorted(manifest.rows.items()))
    return f"DO $volary$ BEGIN\n{checks}\nEND $volary$;"


def _counted(table: str, rows: int) -> str:
    name = '"' + table.replace('"', '""') + '"'
    words = f"table {table} has % rows, and the manifest says {int(rows)}".replace("'", "''")
    return (
        f"IF (SELECT count(*) FROM public.{name}) <> {int(rows)} THEN RAISE EXCEPTION '{words}',"
        f" (SELECT count(*) FROM public.{name}); END IF;"
    )


def _pump(source: "subprocess.Popen[bytes]", target: "subprocess.Popen[bytes]") -> None:
    assert source.stdout is not None and target.stdin is not None  # noqa: S101, PT018 - both are pipes
    shutil.copyfileobj(source.stdout, target.stdin, _CHUNK_BYTES)


def _finish(target: "subprocess.Popen[bytes]", script: bytes) -> None:
    assert target.stdin is not None  # noqa: S101 - a pipe
    target.stdin.write(script)
    target.stdin.close()


def _require_success(name: str, code: int, words: IO[bytes]) -> None:
    """Raise BackupError with a program's last words unless it has succeeded."""
    if not code:
        return
    words.seek(0)
    said = " ".join(words.read()[-_SAID_BYTES:].decode(errors="replace").split())
    raise BackupError(f"{name} failed with code {code}: {said or 'it said nothing'}")
