"""
Settings of the control plane, read once from environment variables.

Only ``main``, ``embedded`` and ``cli`` see a Settings; other packages get single values from
them, or declare a group of their own that is a field here. ``docs/settings.md`` is made of the
declarations.
"""

import logging
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Self

from controlplane.authn.login_settings import AuthMode, LoginSettings
from controlplane.core.addresses import Addresses
from controlplane.core.deleted_orgs import DEFAULT_GRACE
from controlplane.core.link_timings import LinkTimings
from controlplane.link.connection_limits import LinkLimits
from controlplane.link.tls_settings import LinkTlsSettings
from controlplane.loops.cache_settings import CacheSettings
from controlplane.outbound.dns import DnsSettings
from controlplane.outbound.settings import NotificationSettings
from controlplane.usecases.run_retention_settings import RunRetentionSettings
from controlplane.usecases.secret_keys import SecretKeySettings
from controlplane.usecases.tracked_run_settings import TrackedRunSettings
from controlplane.web.http_limits import HttpLimits
from controlplane.web.tls_settings import TlsSettings
from shared.blobs.options import BASE, AzureOptions, GcsOptions, S3Options, StoreOptions
from shared.kit.secrets import SecretText
from shared.kit.settings import (
    Given,
    SettingsError,
    find_unknown,
    kinds,
    read,
    setting,
    settings,
    variables_of,
)

PREFIX = "VOLARY_"
_OTHER_PROGRAMS = ("VOLARY_AGENT_", "VOLARY_UP_", "VOLARY_COPILOT_")

_DATABASE_URL = "VOLARY_DATABASE_URL"
_FLEET_URL = "VOLARY_FLEET_DATABASE_URL"
_DIRECT_URL = "VOLARY_DIRECT_DATABASE_URL"
_OWNER_URL = "VOLARY_OWNER_DATABASE_URL"

_POSTGRES = kinds.secret_url("postgresql", "postgres")
_POOL = kinds.whole_number(1, 1000, unit="connections")

_log = logging.getLogger(__name__)


class LogFormat(StrEnum):
    """Formats of log lines."""

    TEXT = "text"  # for people: colours on a terminal, plain in a pipe
    JSON = "json"  # for machines: one object per line


class LogLevel(StrEnum):
    """Lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@settings("Database")
class DatabaseSettings:
    url: SecretText = setting(
        _DATABASE_URL,
        _POSTGRES,
        "Postgres 15 or newer: `postgresql://user:password@host:port/name`, or "
        "`?host=/directory` for a Unix socket. The user must be a member of the roles "
        "`volary_app` (statements of one org) and `volary_fleet` (statements across orgs), which "
        "the first migration creates. Use a separate user, neither one of these two roles nor a "
        "superuser, because superusers bypass row-level security. `volary controlplane check` "
        "says which grant is missing. The address may be a [pooler](pooler.md)'s.",
    )
    fleet_url: SecretText | None = setting(
        _FLEET_URL,
        _POSTGRES,
        "The address for statements across orgs, if they use another user. Then the user of "
        "`VOLARY_DATABASE_URL` should not be a member of `volary_fleet`, so that no statement of "
        "an org can take that role.",
        default=None,
        default_text="`VOLARY_DATABASE_URL`",
    )
    direct_url: SecretText | None = setting(
        _DIRECT_URL,
        _POSTGRES,
        "The address of Postgres itself, if the others are a [pooler](pooler.md)'s: for "
        "notifications, and for `volary db` unless the owner's address is set.",
        default=None,
        default_text="`VOLARY_DATABASE_URL`",
    )
    owner_url: SecretText | None = setting(
        _OWNER_URL,
        _POSTGRES,
        "The address for `volary db`: a user that owns the database and may create roles, which "
        "some releases add.",
        default=None,
        default_text="`VOLARY_DIRECT_DATABASE_URL`",
    )
    pool_size: int = setting(
        "VOLARY_DATABASE_POOL_SIZE",
        _POOL,
        "Connections to Postgres that one replica keeps for clients' calls.",
        default=10,
    )
    link_pool_size: int = setting(
        "VOLARY_DATABASE_LINK_POOL_SIZE",
        _POOL,
        "Connections for agents' sessions, and 2 more for their handshakes. They are separate "
        "from the clients' pool, so that neither waits for the other.",
        default=4,
    )
    loop_pool_size: int = setting(
        "VOLARY_DATABASE_LOOP_POOL_SIZE",
        _POOL,
        "Connections for background loops and change feeds, and 2 more for statements across orgs.",
        default=4,
    )

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            orgs=self.url.reveal(),
            fleet=(self.fleet_url or self.url).reveal(),
            direct=(self.direct_url or self.url).reveal(),
        )

    @property
    def owner_address(self) -> str:
        """URL for migrations: the owner's, else the direct one (past a pooler), else any."""
        return (self.owner_url or self.direct_url or self.url).reveal()


@settings("Addresses")
class ListenerSettings:
    """SettingsError: ``host`` is not loopback, and requests would be in the clear."""

    host: str = setting(
        "VOLARY_HOST",
        kinds.text(253, metavar="HOST"),
        "The address to listen on. Other addresses than loopback need logins (`VOLARY_AUTH=oidc`), "
        "and TLS (`VOLARY_TLS_CERT_FILE`) or a proxy that ends it "
        "(`VOLARY_PLAINTEXT_FOR_PROXIES`). The agents' port is then on `127.0.0.1`, unless it has "
        "TLS (`VOLARY_LINK_TLS_CERT_FILE`).",
        default="127.0.0.1",
    )
    http_port: int = setting(
        "VOLARY_HTTP_PORT",
        kinds.port(),
        "The SDK, the CLI, browsers, signed blobs, probes. `0` selects a free port. Do not use "
        "8090: for `localhost:8090` the SDK prints links to another port.",
        default=8100,
    )
    link_port: int = setting(
        "VOLARY_LINK_PORT",
        kinds.port(),
        "Agents (gRPC). `0` selects a free port.",
        default=8101,
    )
    configured_public_url: str | None = setting(
        "VOLARY_PUBLIC_URL",
        kinds.http_url(),
        "The URL at which clients reach the HTTP port. Signed URLs begin with it. Without "
        "logins, requests must name its host or a loopback name in their `Host` header (421 "
        "otherwise), and requests from pages of other origins are refused (403).",
        default=None,
        default_text="`http://localhost:` and the HTTP port, with TLS `https://`",
    )
    stop_delay: timedelta = setting(
        "VOLARY_STOP_DELAY_SECONDS",
        kinds.seconds(0, 45),
        "Time after SIGTERM in which `/readyz` answers 503 and everything is still served. "
        "Behind a load balancer, the time it takes to notice ([replicas](replicas.md)).",
        default=timedelta(),
    )

    tls: TlsSettings = field(default_factory=TlsSettings)
    link_tls: LinkTlsSettings = field(default_factory=LinkTlsSettings)

    def __post_init__(self) -> None:
        url = self.configured_public_url or ""
        if self.is_encrypted and url.startswith("http://"):
            raise ValueError(
                f"VOLARY_PUBLIC_URL is {url}, but clients reach the HTTP port by TLS; set it to an"
                " https:// address"
            )
        link_host = self.link_tls.host
        if link_host and self.link_tls.files is None and not is_loopback(link_host):
            raise ValueError(
                f"VOLARY_LINK_HOST is {link_host}, and without TLS agents' tokens would cross the"
                " network in the clear; set VOLARY_LINK_TLS_CERT_FILE and VOLARY_LINK_TLS_KEY_FILE"
            )
        if not self.is_encrypted and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} is not this machine's loopback, and without TLS access tokens would"
                " cross the network in the clear; set VOLARY_TLS_CERT_FILE and"
                " VOLARY_TLS_KEY_FILE, or VOLARY_PLAINTEXT_FOR_PROXIES behind a proxy that ends TLS"
            )

    @property
    def is_encrypted(self) -> bool:
        """Whether clients reach the HTTP port by TLS, which it or a proxy ends."""
        return self.tls.files is not None or self.tls.plaintext_for_proxies

    @property
    def public_url(self) -> str:
        scheme = "http" if self.tls.files is None else "https"
        return self.configured_public_url or f"{scheme}://localhost:{self.http_port}"

    @property
    def link_host(self) -> str:
        """The address of the agents' ports; loopback only, unless they have TLS."""
        is_fit = self.link_tls.files is not None or is_loopback(self.host)
        return self.link_tls.host or (self.host if is_fit else "127.0.0.1")


@settings("Blobs")
class BlobSettings:
    base: str = setting(
        "VOLARY_BLOB_BASE",
        BASE,
        "The URI below which code, inputs, outputs and reports are stored.",
    )
    signing_key: SecretText = setting(
        "VOLARY_BLOB_SIGNING_KEY",
        kinds.secret(at_least=32),
        "Signs the URLs of a `file:` store, and the addresses that answer conditions. The same on every replica.",
    )
    s3: S3Options = field(default_factory=S3Options)
    gcs: GcsOptions = field(default_factory=GcsOptions)
    azure: AzureOptions = field(default_factory=AzureOptions)

    def __post_init__(self) -> None:
        if self.base.startswith("abfs://") and not self.azure.account:
            raise ValueError(
                "VOLARY_BLOB_BASE is a container of Azure; VOLARY_AZURE_ACCOUNT has to name its"
                " storage account"
            )

    @property
    def options(self) -> StoreOptions:
        return StoreOptions(self.s3, self.gcs, self.azure)


@settings("Org and cluster", "One of each, while there are no logins.")
class TenantSettings:
    org: str = setting("VOLARY_ORG", kinds.name(), "The org of all callers.", default="local")
    cluster: str = setting(
        "VOLARY_CLUSTER",
        kinds.name(),
        "The cluster whose agent may connect with `VOLARY_CLUSTER_TOKEN`.",
        default="local",
    )
    cluster_token: SecretText | None = setting(
        "VOLARY_CLUSTER_TOKEN",
        kinds.secret(at_least=20),
        "The token with which that agent authenticates, where the link has no TLS. With "
        "`VOLARY_LINK_TLS_CERT_FILE` agents get certificates by `volary cluster create`.",
        default=None,
        default_text="no cluster",
    )
    deleted_orgs_kept: timedelta = setting(
        "VOLARY_DELETED_ORGS_KEPT_SECONDS",
        kinds.seconds(0, 365 * 86400),
        "How long a deleted org can be restored; then its data is erased.",
        default=DEFAULT_GRACE,
    )


@settings("Logs")
class LogSettings:
    level: LogLevel = setting(
        "VOLARY_LOG_LEVEL",
        kinds.one_of(LogLevel),
        "The lowest level that is logged.",
        default=LogLevel.INFO,
    )
    format: LogFormat = setting(
        "VOLARY_LOG_FORMAT",
        kinds.one_of(LogFormat),
        "Text for people, or a JSON object on each line.",
        default=LogFormat.TEXT,
    )


@settings("Traces", "Of OpenTelemetry; they need `volary[traces]`. [Traces](traces.md).")
class TraceSettings:
    endpoint: str = setting(
        "VOLARY_TRACES_ENDPOINT",
        kinds.http_url(),
        "A collector that takes OTLP over gRPC, such as `http://otel-collector:4317`. "
        "`OTEL_EXPORTER_OTLP_HEADERS` and `…_CERTIFICATE` have their usual meaning.",
        default="",
        default_text="nothing is recorded",
    )
    ratio: float = setting(
        "VOLARY_TRACES_RATIO",
        kinds.fraction(),
        "The part of all runs whose spans are recorded; errors always are.",
        default=0.01,
    )


@settings("Control plane")
class Settings:
    """Settings of one control plane; its repr shows no secret."""

    database: DatabaseSettings
    listeners: ListenerSettings = field(default_factory=ListenerSettings)
    http_limits: HttpLimits = field(default_factory=HttpLimits)
    link_limits: LinkLimits = field(default_factory=LinkLimits)
    timings: LinkTimings = field(default_factory=LinkTimings)
    blobs: BlobSettings
    tenant: TenantSettings
    logins: LoginSettings = field(default_factory=LoginSettings)
    secret_keys: SecretKeySettings = field(default_factory=SecretKeySettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    tracked_runs: TrackedRunSettings = field(default_factory=TrackedRunSettings)
    run_retention: RunRetentionSettings = field(default_factory=RunRetentionSettings)
    notifications: NotificationSettings = field(default_factory=NotificationSettings)
    dns: DnsSettings = field(default_factory=DnsSettings)
    log: LogSettings = field(default_factory=LogSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)

    def __post_init__(self) -> None:
        if self.logins.mode is AuthMode.ANONYMOUS:
            require_loopback(self.listeners.host)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read every variable; SettingsError names each that is missing or invalid."""
        return read(cls, environment)


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Log a warning for each variable that looks like a setting and is none: a misspelt one."""
    known = variables_of(Settings)
    for each in find_unknown(environment, known, prefix=PREFIX, others=_OTHER_PROGRAMS):
        _log.warning(
            "unknown setting ignored",
            extra={"variable": each.variable, "nearest": each.nearest or "none"},
        )


def owner_database_url(environment: Mapping[str, str]) -> str:
    """Return the URL for migrations; the owner's alone suffices."""
    others = [environment.get(each, "") for each in (_DATABASE_URL, _OWNER_URL, _DIRECT_URL)]
    url = next((each for each in others if each), "")
    return read(DatabaseSettings, {**environment, _DATABASE_URL: url}).owner_address


def database_addresses(environment: Mapping[str, str], database_url: str = "") -> Addresses:
    """
    Return the addresses of the database; ``database_url``, an option, overrides the environment.

    If it differs from the environment's, the fleet and direct URLs of the environment are
    ignored: they belong to another database.
    """
    if not database_url or database_url == environment.get(_DATABASE_URL):
        return read(DatabaseSettings, environment).addresses
    given = {_DATABASE_URL: Given("--database-url", [database_url])}
    return read(DatabaseSettings, {}, given).addresses


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is a loopback address or ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False  # a host name may resolve to any address


def require_loopback(host: str) -> None:
    """Raise SettingsError unless ``host`` is a loopback address or ``localhost``."""
    if not is_loopback(host):
        raise SettingsError(
            f"{host} is not this machine's loopback: without logins anyone who can connect to"
            " Volary may do anything, so it listens only on loopback; use 127.0.0.1, ::1 or"
            " localhost, or set VOLARY_AUTH=oidc"
        )
