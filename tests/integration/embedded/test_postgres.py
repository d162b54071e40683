"""The embedded server and its roles: what survives, what is refused, who may do what."""

import asyncio
import os
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import asyncpg
import psutil
import pytest

from controlplane.embedded import databases, postgres
from controlplane.embedded.errors import UpError
from tests.servers.postgres import DatabaseForTest

PASSWORD = "correct horse"  # noqa: S105 - of a server that lives for a test


def ask(url: str, question: str) -> object:
    async def answer() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(answer())


def running(directory: Path) -> AbstractContextManager[postgres.EmbeddedPostgres]:
    return postgres.running(directory, password=PASSWORD, settings=postgres.FORGETFUL)


def test_postgres_data_survives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        ask(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    with running(tmp_path) as server:
        assert ask(server.url(), "SELECT answer FROM kept") == 42


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as server, pytest.raises(asyncpg.InvalidPasswordError):
        ask(server.url(password="battery staple"), "SELECT 1")  # noqa: S106


def test_postgres_socket_directory_is_private(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert server.sockets.stat().st_mode & 0o077 == 0
    assert not server.sockets.exists()


def test_postgres_killed_outright_keeps_all_commits(tmp_path: Path) -> None:
    with postgres.running(tmp_path, password=PASSWORD, settings=postgres.DURABLE) as server:
        ask(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        server.process.kill()
        server.process.wait(10)
        with pytest.raises(UpError, match="exited with code -9"):
            server.require_running()
    with running(tmp_path) as server:
        assert ask(server.url(), "SELECT count(*) FROM kept") == 1


def test_postgres_pid_file_of_another_process_is_ignored(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        lines = (server.data / "postmaster.pid").read_text().splitlines()
    stranger = os.getpid()
    (server.data / "postmaster.pid").write_text("\n".join([str(stranger), *lines[1:]]) + "\n")

    with running(tmp_path) as server:
        assert ask(server.url(), "SELECT 1") == 1


def test_postgres_left_running_is_stopped_before_a_new_one_starts(tmp_path: Path) -> None:
    with running(tmp_path) as left, running(tmp_path) as server:
        assert left.process.wait(10) == 0
        assert ask(server.url(), "SELECT 1") == 1


def test_unfinished_postgres_directory_is_initialised_again(tmp_path: Path) -> None:
    (tmp_path / "data.unfinished").mkdir()
    (tmp_path / "data.unfinished" / "PG_VERSION").write_text("18")
    with running(tmp_path) as server:
        assert ask(server.url(), "SELECT 1") == 1


def test_data_of_another_postgres_version_is_refused_by_name(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        pass
    (server.data / "PG_VERSION").write_text("11\n")
    with pytest.raises(UpError, match="created by Postgres 11 and this release has Postgres 18"):
        running(tmp_path).__enter__()


def test_a_stopped_server_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        processes = psutil.Process(server.process.pid).children(recursive=True)
        assert processes
    psutil.wait_procs(processes, timeout=60)
    assert not any(process.is_running() for process in processes)


def test_the_server_ignores_the_terminals_interrupt(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert os.getsid(server.process.pid) != os.getsid(0)


async def test_both_roles_are_bound_by_row_level_security(empty_database: DatabaseForTest) -> None:
    connection = await asyncpg.connect(empty_database.owner_url)
    try:
        rows = await connection.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY($1) AND (rolsuper OR rolbypassrls)",
            [databases.OWNER, databases.LOGIN],
        )
        assert rows == []
    finally:
        await connection.close()


async def test_the_application_owns_nothing(test_database: DatabaseForTest) -> None:
    connection = await asyncpg.connect(test_database.url)
    try:
        assert await connection.fetchval("SELECT session_user") == databases.LOGIN
        assert await connection.fetchval("SELECT current_user") == "volary_app"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE of_its_own ()")
    finally:
        await connection.close()


WAYS = [postgres.Unprivileged.for_this_process()]
if os.geteuid() == 0:
    WAYS.append(postgres.Unprivileged(user=65534))


@pytest.mark.parametrize("how", WAYS, ids=repr)
def test_postgres_runs_with_each_way_of_dropping_root(how: postgres.Unprivileged) -> None:
    with (
        tempfile.TemporaryDirectory() as home,
        postgres.running(Path(home) / "pg", password=PASSWORD, unprivileged=how) as server,
    ):
        if how.user is not None:
            assert psutil.Process(server.process.pid).uids().effective == how.user
        assert ask(server.url(), "SELECT 1") == 1


def test_postgres_directory_without_access_is_refused_with_the_remedy() -> None:
    stranger = postgres.Unprivileged(user=65534)
    with tempfile.TemporaryDirectory() as home:
        closed = Path(home) / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(UpError, match=r"(?s)cannot create its data directory.*not below /root"):
            postgres.running(
                closed / "data" / "pg", password=PASSWORD, unprivileged=stranger
            ).__enter__()
