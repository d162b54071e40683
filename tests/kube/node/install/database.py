"""A Postgres that pods reach, as a customer's: outside of the cluster, on the network."""

import asyncio
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.embedded import databases, postgres

_NAME = "volary"
_PORT = 5432


@dataclass(frozen=True, slots=True)
class DatabaseForPods:
    """An empty database, by the addresses that the Secret of an installation has."""

    url: str = field(repr=False)
    owner_url: str = field(repr=False)


@contextmanager
def running(address: str) -> Iterator[DatabaseForPods]:
    """Have it at ``address`` for the length of a block."""
    passwords = databases.Passwords(owner=secrets.token_hex(), application=secrets.token_hex())
    with tempfile.TemporaryDirectory(prefix="volary-tests-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)  # the server may be another user
        callers = Path(home, "pg_hba.conf")
        callers.write_text("local all all scram-sha-256\nhost all all all scram-sha-256\n")
        with postgres.running(
            Path(home, "server"),
            password=secrets.token_hex(),
            settings={
                **postgres.FORGETFUL,
                "hba_file": str(callers),
                "listen_addresses": address,
                "port": str(_PORT),
            },
        ) as server:
            asyncio.run(databases.ensure_roles(server.url(), passwords))
            asyncio.run(databases.ensure_database(server.url(), _NAME))
            place = f"{address}:{_PORT}/{_NAME}"
            yield DatabaseForPods(
                url=f"postgresql://{databases.LOGIN}:{passwords.application}@{place}",
                owner_url=f"postgresql://{databases.OWNER}:{passwords.owner}@{place}",
            )
