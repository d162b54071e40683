"""
Postgres for tests: one server a session, one migrated template a worker, a copy a test.

``TEST_DATABASE_URL`` names a superuser's database on a server to use instead of starting
one. Tests connect as the application's role, which row-level security binds; the owner's
URL is for migrations and for reading all orgs' rows.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import psutil
import pytest

from controlplane.embedded import databases, postgres
from controlplane.store import migrations
from tests import leftovers, program_logs

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- in it is a directory of our own
_MEMORY_BYTES = 4 * 2**30  # must be free

_PASSWORDS = databases.Passwords(owner="owner-of-a-test", application="application-of-a-test")


@dataclass(frozen=True, slots=True)
class DatabaseForTest:
    """One database, as the two roles that may enter it see it."""

    name: str
    owner_url: str = field(repr=False)
    url: str = field(repr=False)


class PostgresForTests:
    """A server, and the way to databases on it."""

    def __init__(self, superuser_url: str, execute: Callable[[str], object]) -> None:
        self._superuser_url = superuser_url
        self._execute = execute  # as the superuser
        self._template: str | None = None

    @property
    def superuser_url(self) -> str:
        """For what only a superuser may do, as killing the connections of others."""
        return self._superuser_url

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["PostgresForTests"]:
        with _server() as url:
            asyncio.run(databases.ensure_roles(url, _PASSWORDS))
            # One connection, kept: to make one takes as long as to make a database.
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                superuser = runner.run(asyncpg.connect(url))
                yield cls(url, lambda statement: runner.run(superuser.execute(statement)))
                runner.run(superuser.close())

    @contextmanager
    def empty(self) -> Iterator[DatabaseForTest]:
        """Hand out a database without a table in it."""
        with self._copy_of("template1") as database:
            yield database

    @contextmanager
    def migrated(self) -> Iterator[DatabaseForTest]:
        """Hand out a database with the schema in it, and no rows but the schema's own."""
        with self._copy_of(self._migrated_template()) as database:
            yield database

    def _migrated_template(self) -> str:
        if self._template is None:
            name = self._make(template="template1")
            migrations.upgrade(self._database(name).owner_url)
            self._template = name
        return self._template

    @contextmanager
    def _copy_of(self, template: str) -> Iterator[DatabaseForTest]:
        name = self._make(template=template)
        try:
            yield self._database(name)
        finally:
            self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _make(self, *, template: str) -> str:
        name = f"test_{secrets.token_hex(6)}"
        self._execute(
            f'CREATE DATABASE "{name}" OWNER {databases.OWNER}'
            f' TEMPLATE "{template}" STRATEGY file_copy'
        )
        self._execute(f'GRANT CONNECT ON DATABASE "{name}" TO {databases.LOGIN}')
        return name

    def _database(self, name: str) -> DatabaseForTest:
        return DatabaseForTest(
            name=name,
            owner_url=self._url(name, databases.OWNER, _PASSWORDS.owner),
            url=self._url(name, databases.LOGIN, _PASSWORDS.application),
        )

    def _url(self, name: str, user: str, password: str) -> str:
        given = urlsplit(self._superuser_url)
        place = given.netloc.rpartition("@")[2]
        return urlunsplit(
            given._replace(netloc=f"{user}:{quote(password, safe='')}@{place}", path=f"/{name}")
        )


def _memory() -> str | None:
    """
    Return a file system in memory for the data, or None: the usual place.

    A new database is seven hundred files; on a disk each costs ten times as much, and many
    times that beside other work. A server may take half a gigabyte.
    """
    if not (_SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK)):
        return None
    free = min(psutil.disk_usage(str(_SHARED_MEMORY)).free, psutil.virtual_memory().available)
    return str(_SHARED_MEMORY) if free > _MEMORY_BYTES else None


@contextmanager
def _server() -> Iterator[str]:
    """Have a server for the length of a block; yields the superuser's way in."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(
        prefix="volary-tests-", dir=_memory(), ignore_cleanup_errors=True
    ) as home:
        leftovers.remove_if_killed(home)
        with postgres.running(
            Path(home), password=secrets.token_hex(), settings=postgres.FORGETFUL
        ) as server:
            program_logs.follow("postgres", server.log)
            yield server.url()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresForTests]:
    with PostgresForTests.running() as server:
        yield server


@pytest.fixture
def empty_database(postgres_server: PostgresForTests) -> Iterator[DatabaseForTest]:
    """A database without a table in it, for tests of migrations."""
    with postgres_server.empty() as database:
        yield database


@pytest.fixture
def test_database(postgres_server: PostgresForTests) -> Iterator[DatabaseForTest]:
    """A migrated database of this test's own."""
    with postgres_server.migrated() as database:
        yield database


@pytest.fixture
def owner_database_url(test_database: DatabaseForTest) -> str:
    """The owner's way into a migrated database: for migrations, and to look at every org."""
    return test_database.owner_url


@pytest.fixture
def database_url(test_database: DatabaseForTest) -> str:
    """The application's way into a migrated database; row-level security binds it."""
    return test_database.url
