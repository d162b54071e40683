"""
A real pgbouncer in transaction mode, in front of a Postgres of its own.

It is a program of the machine: Debian's package of that name, which ``make test`` installs.
As every pgbouncer it refuses start-up parameters that it does not know, and as those before
1.21 it keeps no prepared statements.
"""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controlplane.embedded import databases, postgres
from controlplane.store import migrations
from tests import program_logs
from tests.ports import free_ports
from tests.programs import Program

SERVER_CONNECTIONS = 4
"""Which all clients share."""

_NAME = "volary"
_PASSWORDS = databases.Passwords(owner="owner-of-a-test", application="application-of-a-test")


@dataclass(frozen=True, slots=True)
class PooledPostgres:
    """A migrated database, and the two ways to it."""

    pooler_url: str = field(repr=False)
    careless_url: str = field(repr=False)  # a pooler that ignores start-up parameters
    direct_url: str = field(repr=False)
    owner_url: str = field(repr=False)


@pytest.fixture(scope="session")
def pooled_postgres() -> Iterator[PooledPostgres]:
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("there is no pgbouncer (Debian: apt-get install pgbouncer)")
    with tempfile.TemporaryDirectory(prefix="volary-pooled-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)  # both servers may be other users
        with _postgres(Path(home)) as (direct_url, owner_url):
            port = int(direct_url.rpartition(":")[2].partition("/")[0])
            with (
                _pgbouncer(program, Path(home, "strict"), port) as pooler_url,
                _pgbouncer(
                    program,
                    Path(home, "careless"),
                    port,
                    "ignore_startup_parameters = role, jit,"
                    " statement_timeout, lock_timeout, idle_in_transaction_session_timeout",
                ) as careless_url,
            ):
                yield PooledPostgres(pooler_url, careless_url, direct_url, owner_url)


@contextmanager
def _postgres(home: Path) -> Iterator[tuple[str, str]]:
    """Have a migrated database that listens on TCP; yields its two users' addresses."""
    [port] = free_ports(1)
    callers = home / "pg_hba.conf"
    callers.write_text("local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n")
    settings = {
        **postgres.FORGETFUL,
        "hba_file": str(callers),
        "listen_addresses": "127.0.0.1",
        "port": str(port),
    }
    with postgres.running(home / "postgres", password="superuser", settings=settings) as server:  # noqa: S106
        program_logs.follow("postgres behind pgbouncer", server.log)
        superuser_url = f"{server.url()}&port={port}"
        asyncio.run(databases.ensure_roles(superuser_url, _PASSWORDS))
        asyncio.run(databases.ensure_database(superuser_url, _NAME))
        place = f"127.0.0.1:{port}/{_NAME}"
        owner_url = f"postgresql://{databases.OWNER}:{_PASSWORDS.owner}@{place}"
        migrations.upgrade(owner_url)
        yield f"postgresql://{databases.LOGIN}:{_PASSWORDS.application}@{place}", owner_url


@contextmanager
def _pgbouncer(program: str, home: Path, postgres_port: int, options: str = "") -> Iterator[str]:
    """Have a pooler for the length of a block; yields its address."""
    home.mkdir()
    [port] = free_ports(1)
    users = home / "users"
    users.write_text(f'"{databases.LOGIN}" "{_PASSWORDS.application}"\n')
    configuration = home / "pgbouncer.ini"
    configuration.write_text(
        f"""\
[databases]
{_NAME} = host=127.0.0.1 port={postgres_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
max_client_conn = 500
{"user = nobody" if os.geteuid() == 0 else ""}
{options}
"""
    )
    pooler = Program("pgbouncer", [program, configuration], logs=home)
    with pooler.running():
        pooler.wait_until(lambda: _answers(port), "it listens", within=20)
        yield f"postgresql://{databases.LOGIN}@127.0.0.1:{port}/{_NAME}"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
