"""
Creates roles and databases in the embedded Postgres, and checks external servers.

Three users: the superuser, used here and nowhere else; the owner, which migrates; and the
control plane's login, which is neither, because owners and superusers bypass row-level
security. It switches to the roles of ``store.connections``, of which it is a member.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import asyncpg

from controlplane.embedded.errors import UpError
from controlplane.store.connections import APPLICATION_ROLE

OWNER = "volary_owner"
LOGIN = "volary_login"
OLDEST = 15


@dataclass(frozen=True, slots=True)
class Passwords:
    owner: str = field(repr=False)
    application: str = field(repr=False)


async def ensure_roles(superuser_url: str, passwords: Passwords) -> None:
    """Create both users and the application's role; idempotent."""
    connection = await asyncpg.connect(superuser_url)
    try:
        for role, password, may in (
            (OWNER, passwords.owner, "CREATEROLE"),  # migrations create the roles they need
            (LOGIN, passwords.application, "NOCREATEROLE"),
        ):
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f"CREATE ROLE {role}")
            secret = await connection.fetchval("SELECT quote_literal($1)", password)
            await connection.execute(
                f"ALTER ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS {may} PASSWORD {secret}"
            )
        # Migrations grant the fleet role to the members of the application's role.
        if not await connection.fetchval(
            "SELECT true FROM pg_roles WHERE rolname = $1", APPLICATION_ROLE
        ):
            await connection.execute(f"CREATE ROLE {APPLICATION_ROLE}")
        await connection.execute(f"ALTER ROLE {APPLICATION_ROLE} NOLOGIN PASSWORD NULL")
        await connection.execute(f"GRANT {APPLICATION_ROLE} TO {OWNER}, {LOGIN}")
        # The owner may list and terminate the control plane's sessions.
        await connection.execute(f"GRANT {LOGIN} TO {OWNER}")
        await connection.execute(f"ALTER ROLE {LOGIN} SET role = '{APPLICATION_ROLE}'")
    finally:
        await connection.close()


async def ensure_database(superuser_url: str, name: str) -> None:
    """Create database ``name`` for the owner, unless it exists."""
    connection = await asyncpg.connect(superuser_url)
    try:
        if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            return
        await connection.execute(
            f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE template1 STRATEGY file_copy'
        )
        await connection.execute(f'GRANT CONNECT ON DATABASE "{name}" TO {LOGIN}')
    finally:
        await connection.close()


async def require_usable(url: str, *, oldest: int = OLDEST) -> None:
    """Check that a server can be reached and is new enough; UpError says what is wrong."""
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise UpError(
            f"cannot use the database at {describe_url(url)} ({reason}); check the database URL"
        ) from error
    try:
        number = int(await connection.fetchval("SHOW server_version_num"))
    finally:
        await connection.close()
    if number < oldest * 10_000:
        raise UpError(
            f"the database at {describe_url(url)} is Postgres {number // 10_000}; "
            f"Volary needs {oldest} or newer"
        )


def describe_url(url: str) -> str:
    """Return a database's address without its password."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:  # any part of it may be secret
        return "an address that does not begin with postgresql://"
    host = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", ["localhost"])[0]
    return f"{host}{parts.path}"
