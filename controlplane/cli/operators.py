"""
Runs operators' commands directly on the database.

The database's secret allows all of this anyway; it works while every replica is down. The
database notifies every replica of changes (``controlplane/DECISIONS.md``). Takes a second to
import: commands import it when called.
"""

import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from connectrpc.errors import ConnectError

from controlplane.api.domains import DomainService
from controlplane.api.errors import CODES
from controlplane.api.local_calls import LocalCalls
from controlplane.api.scoped_settings import SettingsService
from controlplane.cli.operations import CommandContext
from controlplane.cli.user_errors import user_errors
from controlplane.client.calls import Api, Message
from controlplane.client.errors import CallRefusedError
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.errors import RequestError
from controlplane.core.retention import RetentionPolicy
from controlplane.embedded.connectivity import (
    blob_base_of,
    database_url_of,
    public_url_of,
    secrets_key_file_of,
)
from controlplane.embedded.databases import require_usable
from controlplane.loops.cache_settings import CacheSettings
from controlplane.main import read_secret_keys
from controlplane.outbound.dns import Dns, DnsSettings
from controlplane.outbound.settings import NotificationSettings
from controlplane.platform import make_platform
from controlplane.settings import TenantSettings, database_addresses
from controlplane.store.checks import require_fit
from controlplane.store.clock import StoreClock
from controlplane.store.database import Database, open_database
from controlplane.usecases.bootstrap import require_org
from controlplane.usecases.domains import Domains
from controlplane.usecases.identity.email_domains import EmailDomains
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.org_deletion import OrgDeletion
from controlplane.usecases.run_retention_settings import RunRetentionSettings
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.sealed_configs import SealedConfigs
from controlplane.usecases.secret_keys import SecretKeys, SecretKeySettings
from controlplane.usecases.secrets import Secrets
from controlplane.usecases.senders import make_senders
from shared.kit.clock import Clock
from shared.kit.settings import read
from shared.model.ids import OrgName

T = TypeVar("T")

_DATA_DIRECTORY = Path("~/.volary")
_PUBLIC_URL = "VOLARY_PUBLIC_URL"
_BLOB_BASE = "VOLARY_BLOB_BASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The operator who runs a command, and use cases that the platform API does not have."""

    caller: Caller
    clock: Clock
    secrets: Secrets
    invitations: Invitations
    database: Database
    configs: SealedConfigs
    deletion: OrgDeletion


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
        settings = (
            _secret_keys(context) if key_file is None else SecretKeySettings(key_file=key_file)
        )
        keys = read_secret_keys(settings)

        async def run_work() -> T:
            async with _connect(context, creates_org=creates_org) as (database, clock):
                return await work(_operator(context, database, clock, keys))

        return asyncio.run(run_work())


@contextmanager
def open_platform(context: CommandContext) -> Iterator[Api]:
    """Give the platform API as the operator of the database calls it; a ClickException."""
    with user_errors(), asyncio.Runner() as runner:
        connection = _connect(context)
        database, clock = runner.run(connection.__aenter__())
        try:
            services = make_platform(
                database,
                clock,
                public_url=os.environ.get(_PUBLIC_URL, "http://localhost:8100"),
                self_service_orgs=True,
                deletion=_deletion(database, clock),
                email_domains=EmailDomains(
                    database, clock, Dns(read(DnsSettings, os.environ).servers)
                ),
                secrets=lambda: Secrets(database, clock, read_secret_keys(_secret_keys(context))),
                senders=make_senders(read(NotificationSettings, os.environ)),
                keys=lambda: read_secret_keys(_secret_keys(context)),
                kept=RetentionPolicy(
                    runs=read(RunRetentionSettings, os.environ).keep,
                    unused_cache_entries=read(CacheSettings, os.environ).keep_unused,
                ),
            )
            of_flyte = {
                "flyteidl2.org.DomainService": DomainService(Domains(database, clock)),
                "flyteidl2.settings.SettingsService": SettingsService(
                    ScopedSettings(database, clock, base=_blob_base(context))
                ),
            }
            yield _DirectApi(runner, LocalCalls({**services, **of_flyte}, _caller(context)))
        finally:
            runner.run(connection.__aexit__(None, None, None))


class _DirectApi:
    """Calls the services in this process, as a client calls them over HTTP."""

    def __init__(self, runner: asyncio.Runner, calls: LocalCalls) -> None:
        self._runner = runner
        self._calls = calls

    def call(self, method: str, request: Message) -> Message:
        with _refusals():
            return self._runner.run(self._calls.call(method, request))

    def stream(self, method: str, request: Message) -> Iterator[Message]:
        messages = self._calls.stream(method, request)

        async def following() -> Message | None:
            return await anext(messages, None)

        with _refusals():
            while (message := self._runner.run(following())) is not None:
                yield message


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise a refusal of a use case as the client's error, with the API's code."""
    try:
        yield
    except RequestError as error:
        code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
        raise CallRefusedError(code.value, str(error)) from error
    except ConnectError as error:
        raise CallRefusedError(error.code.value, error.message) from error


@asynccontextmanager
async def _connect(
    context: CommandContext, *, creates_org: bool = False
) -> AsyncIterator[tuple[Database, Clock]]:
    addresses = database_addresses(os.environ, _database_url(context))
    await require_usable(addresses.direct)
    await require_fit(addresses)
    database = open_database(
        addresses.orgs, pool_size=2, fleet_url=addresses.fleet, pooled=addresses.pooled
    )
    clock = StoreClock(database)
    try:
        await clock.set()
        if not creates_org:
            await require_org(database, OrgName(context.org))
        yield database, clock
    finally:
        await database.close()


def _operator(
    context: CommandContext, database: Database, clock: Clock, keys: SecretKeys
) -> Operator:
    return Operator(
        caller=_caller(context),
        clock=clock,
        secrets=Secrets(database, clock, keys),
        invitations=Invitations(database, clock),
        database=database,
        configs=SealedConfigs(lambda: keys),
        deletion=_deletion(database, clock),
    )


def _deletion(database: Database, clock: Clock) -> OrgDeletion:
    grace = read(TenantSettings, os.environ).deleted_orgs_kept
    return OrgDeletion(database, clock, grace=grace)


def _caller(context: CommandContext) -> Caller:
    subject = Subject(f"operator:{getpass.getuser()}")
    return Caller(
        subject=subject, org=OrgName(context.org), name=subject, grants=org_wide(EVERYTHING)
    )


def _database_url(context: CommandContext) -> str:
    """Return the database's URL; an explicit data directory overrides the environment."""
    if not _is_of_data_directory(context):
        return context.database_url
    return database_url_of(context.data_directory or _DATA_DIRECTORY)


def find_public_url(context: CommandContext) -> str:
    """Return the URL of the directory's ``volary up``, or the one that is usual."""
    found = None
    if _is_of_data_directory(context):
        found = public_url_of(context.data_directory or _DATA_DIRECTORY)
    return found or "http://localhost:8100"


def _blob_base(context: CommandContext) -> str:
    """Return the prefix of all data, by which directories in settings are checked; "" if unknown."""
    if not _is_of_data_directory(context):
        return os.environ.get(_BLOB_BASE, "")
    return blob_base_of(context.data_directory or _DATA_DIRECTORY)


def _secret_keys(context: CommandContext) -> SecretKeySettings:
    if not _is_of_data_directory(context):
        return read(SecretKeySettings, os.environ)
    file = secrets_key_file_of(context.data_directory or _DATA_DIRECTORY)
    return SecretKeySettings(key_file=file if file.exists() else None)


def _is_of_data_directory(context: CommandContext) -> bool:
    return context.data_directory is not None or not context.database_url
