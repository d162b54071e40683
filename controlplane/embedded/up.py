"""
Starts and stops everything for ``volary up``.

Started in the order data directory, ports, Postgres, schema, control plane, agent, and
stopped in reverse. Everything before the control plane is plain synchronous code: nothing
else is running yet, and a failure unwinds what was started.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from controlplane.authn.login_settings import LoginSettings
from controlplane.embedded import agent, banner, data_directory, databases, logins, ports, postgres
from controlplane.embedded.connectivity import state_file_of
from controlplane.embedded.data_directory import DataDirectory
from controlplane.embedded.errors import UpError
from controlplane.embedded.logins import LoginFiles
from controlplane.main import serve
from controlplane.outbound.settings import NotificationSettings
from controlplane.settings import (
    BlobSettings,
    DatabaseSettings,
    ListenerSettings,
    LogLevel,
    LogSettings,
    Settings,
    TenantSettings,
    TraceSettings,
    require_loopback,
)
from controlplane.store import migrations
from controlplane.usecases.secret_keys import SecretKeySettings
from controlplane.web import console
from shared.blobs.options import BASE
from shared.kit import logs
from shared.kit.clock import Clock, SystemClock
from shared.kit.programs import run_until_signalled
from shared.kit.secrets import SecretText

_log = logging.getLogger(__name__)

_DATABASE = "volary"
_CLUSTER = "local"
_CLUSTER_TOKEN = "cluster-token"  # noqa: S105 - its file's name
_POLL_INTERVAL = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Database:
    owner_url: str = field(repr=False)
    url: str = field(repr=False)
    server: postgres.EmbeddedPostgres | None  # None when a URL was given


def up(
    *,
    data_dir: Path,
    host: str,
    http_port: int,
    link_port: int,
    log_level: LogLevel,
    database_url: str = "",
    blob_base: str = "",
    login: LoginSettings | None = None,
    notifications: NotificationSettings | None = None,
    traces: TraceSettings | None = None,
) -> None:
    """
    Run everything until SIGINT or SIGTERM; "" selects the default.

    ``login``: people and programs log in, over TLS, instead of all being the same caller; it may name
    an identity provider.

    Raises UpError or SettingsError, with a message for the terminal.
    """
    require_loopback(host)
    try:
        base = BASE.parse(blob_base) if blob_base else ""
    except ValueError:
        raise UpError(f"--blob-base is {blob_base!r}; set it to {BASE.accepts}") from None
    logs.configure(level=log_level)
    with ExitStack() as stack:
        stack.enter_context(_terminate_as_interrupt())
        directory = stack.enter_context(data_directory.opened(data_dir))
        http_port = ports.require_free(host, http_port, option="--http-port")
        link_port = ports.require_free(host, link_port, option="--link-port")
        if http_port == link_port:
            raise UpError(f"--http-port and --link-port are both {http_port}; they must differ")
        database = stack.enter_context(_database(directory, database_url))
        migrations.upgrade(database.owner_url)
        files = logins.prepare(directory, SystemClock()) if login is not None else None
        settings = Settings(
            database=DatabaseSettings(
                url=SecretText(database.url), owner_url=SecretText(database.owner_url)
            ),
            listeners=ListenerSettings(host=host, http_port=http_port, link_port=link_port)
            if files is None
            else logins.listeners(files, host=host, http_port=http_port, link_port=link_port),
            logins=LoginSettings() if login is None else logins.login_settings(directory, login),
            blobs=BlobSettings(
                # Not as_uri(): neither the store nor the SDK decodes its %20.
                base=base or f"file://{directory.blobs}",
                signing_key=SecretText(directory.secret("blob-signing-key")),
            ),
            tenant=TenantSettings(
                cluster=_CLUSTER, cluster_token=SecretText(directory.secret(_CLUSTER_TOKEN))
            ),
            secret_keys=SecretKeySettings(key_file=directory.secrets_key_file()),
            notifications=notifications or NotificationSettings(),
            traces=traces or TraceSettings(),
            log=LogSettings(level=log_level),
        )
        run_until_signalled(_run(directory, settings, database.server, files))
    _log.info("stopped")


async def _run(
    directory: DataDirectory,
    settings: Settings,
    server: postgres.EmbeddedPostgres | None,
    files: LoginFiles | None,
) -> None:
    """Run until cancelled; stop in the reverse order."""
    clock = SystemClock()
    ready = asyncio.Event()
    child = agent.AgentProcess(
        agent.command(
            link=f"{_bracketed(settings.listeners.host)}:{settings.listeners.link_port}",
            # The SDK in a task uses plaintext for the name "localhost".
            api=f"localhost:{settings.listeners.http_port}",
            token_file=directory.secret_file(_CLUSTER_TOKEN),
            directory=directory.agent,
            log_level=settings.log.level,
            ca_file=None if files is None else files.ca_file,
        ),
        clock,
    )
    async with (
        _run_in_background(_watch(server, clock), name="postgres watch"),
        _run_in_background(serve(settings, ready=ready.set), name="control plane"),
    ):
        await ready.wait()
        async with _run_in_background(child.run(), name="agent"):
            login = None if files is None else await _begin_logins(settings, files, clock)
            with _announced(directory, settings, server, login):
                await asyncio.Event().wait()


def _bracketed(host: str) -> str:
    """Return a host in the form for ``host:port``: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


@asynccontextmanager
async def _run_in_background(
    service: Coroutine[None, None, None], *, name: str
) -> AsyncIterator[None]:
    """Run a service during a block; when either ends, both end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service, name=name)
        yield
        task.cancel()


async def _watch(server: postgres.EmbeddedPostgres | None, clock: Clock) -> None:
    while server is not None:
        server.require_running()
        await clock.sleep(_POLL_INTERVAL)


async def _begin_logins(settings: Settings, files: LoginFiles, clock: Clock) -> banner.Login:
    """Write the configuration of the SDK, and make the link of the first owner."""
    link = await logins.make_owner_link(settings, clock)
    logins.write_flyte_config(
        files, f"localhost:{settings.listeners.http_port}", settings.tenant.org
    )
    return banner.Login(
        url=settings.listeners.public_url,
        owner_link=link,
        ca_file=files.ca_file,
        flyte_config=files.flyte_config,
    )


@contextmanager
def _announced(
    directory: DataDirectory,
    settings: Settings,
    server: postgres.EmbeddedPostgres | None,
    login: banner.Login | None,
) -> Iterator[None]:
    """Print the banner for people, and keep ``up.json`` for programs during the block."""
    stack = banner.Stack(
        http_port=settings.listeners.http_port,
        data_directory=directory.root,
        database="embedded" if server else databases.describe_url(settings.database.url.reveal()),
        blobs=settings.blobs.base,
        login=login,
        has_console=console.is_built(),
    )
    banner.show(stack)
    state_file = state_file_of(directory.root)
    state = {
        "pid": os.getpid(),
        "endpoint": stack.endpoint,
        "url": settings.listeners.public_url,
        "blobBase": settings.blobs.base,
    }
    state_file.write_text(json.dumps(state) + "\n")
    try:
        yield
    finally:
        state_file.unlink(missing_ok=True)


@contextmanager
def _database(directory: DataDirectory, url: str) -> Iterator[_Database]:
    """Use the database at ``url``, or run the embedded one for the length of a block."""
    if url:
        asyncio.run(databases.require_usable(url))
        yield _Database(owner_url=url, url=url, server=None)
        return
    passwords = databases.Passwords(
        owner=directory.secret("postgres-owner"),
        application=directory.secret("postgres-application"),
    )
    with postgres.running(
        directory.postgres, password=directory.secret("postgres-superuser")
    ) as server:
        _log.info("postgres started", extra={"pid": server.process.pid, "log": server.log})
        asyncio.run(databases.ensure_roles(server.url(), passwords))
        asyncio.run(databases.ensure_database(server.url(), _DATABASE))
        yield _Database(
            owner_url=server.url(_DATABASE, user=databases.OWNER, password=passwords.owner),
            url=server.url(_DATABASE, user=databases.LOGIN, password=passwords.application),
            server=server,
        )


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Make SIGTERM unwind the startup, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
