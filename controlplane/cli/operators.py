"""
Runs operators' commands: they call the use cases directly on the database.

The database's secret allows all of this anyway; it works while every replica is down, and it
needs no endpoint of its own. The database notifies every replica of changes
(``controlplane/DECISIONS.md``). Takes a second to import: commands import it when called.
"""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from controlplane.cli.operations import CommandContext
from controlplane.cli.user_errors import user_errors
from controlplane.core.callers import Caller, Permission, Subject, org_wide
from controlplane.embedded.connectivity import database_url_of, secrets_key_file_of
from controlplane.embedded.databases import require_usable
from controlplane.main import read_secret_keys
from controlplane.settings import database_addresses
from controlplane.store.checks import require_fit
from controlplane.store.clock import StoreClock
from controlplane.store.database import open_database
from controlplane.usecases.bootstrap import require_org
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.identity.audit import Audit
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.queues import Queues
from controlplane.usecases.secret_keys import SecretKeys, SecretKeySettings
from controlplane.usecases.secrets import Secrets
from shared.kit.clock import Clock
from shared.kit.settings import read
from shared.model.ids import OrgName

T = TypeVar("T")

MAY = frozenset(
    {
        Permission.ACTION_READ,
        Permission.AUDIT_READ,
        Permission.CLUSTER_READ,
        Permission.CLUSTER_WRITE,
        Permission.ORG_WRITE,
        Permission.QUEUE_READ,
        Permission.QUEUE_WRITE,
        Permission.RUN_READ,
        Permission.SECRET_READ,
        Permission.SECRET_WRITE,
    }
)

_DATA_DIRECTORY = Path("~/.volary")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The operator who runs a command, and the use cases available to them."""

    caller: Caller
    clock: Clock
    clusters: Clusters
    queues: Queues
    secrets: Secrets
    explanations: Explanations
    invitations: Invitations
    audit: Audit


def run(
    context: CommandContext,
    work: Callable[[Operator], Awaitable[T]],
    *,
    key_file: Path | None = None,
    creates_org: bool = False,
) -> T:
    """
    Run ``work`` in a new event loop; a ClickException says why it failed.

    ``key_file``: the keys of secrets, instead of the configured ones. ``creates_org``: the org
    need not exist.
    """
    with user_errors():
        keys = _secret_keys(context) if key_file is None else SecretKeySettings(key_file=key_file)
        return asyncio.run(_run(context, work, read_secret_keys(keys), creates_org=creates_org))


async def _run(
    context: CommandContext,
    work: Callable[[Operator], Awaitable[T]],
    keys: SecretKeys,
    *,
    creates_org: bool,
) -> T:
    addresses = database_addresses(os.environ, _database_url(context))
    await require_usable(addresses.direct)
    await require_fit(addresses)
    database = open_database(
        addresses.orgs, pool_size=2, fleet_url=addresses.fleet, pooled=addresses.pooled
    )
    clock = StoreClock(database)
    org = OrgName(context.org)
    subject = Subject(f"operator:{getpass.getuser()}")
    try:
        await clock.set()
        if not creates_org:
            await require_org(database, org)
        return await work(
            Operator(
                caller=Caller(subject=subject, org=org, name=subject, grants=org_wide(MAY)),
                clock=clock,
                clusters=Clusters(database, clock),
                queues=Queues(database, clock),
                secrets=Secrets(database, clock, keys),
                explanations=Explanations(database, clock),
                invitations=Invitations(database, clock),
                audit=Audit(database),
            )
        )
    finally:
        await database.close()


def _database_url(context: CommandContext) -> str:
    """Return the database's URL; an explicit data directory overrides the environment."""
    if not _is_of_data_directory(context):
        return context.database_url
    return database_url_of(context.data_directory or _DATA_DIRECTORY)


def _secret_keys(context: CommandContext) -> SecretKeySettings:
    if not _is_of_data_directory(context):
        return read(SecretKeySettings, os.environ)
    file = secrets_key_file_of(context.data_directory or _DATA_DIRECTORY)
    return SecretKeySettings(key_file=file if file.exists() else None)


def _is_of_data_directory(context: CommandContext) -> bool:
    return context.data_directory is not None or not context.database_url
