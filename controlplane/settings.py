"""
Settings of the control plane, read once from environment variables.

Only ``main``, ``embedded`` and ``cli`` see a Settings; other packages get single values from
them. Each variable is described in ``docs/settings.md``, and a test compares the two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from controlplane.core.addresses import Addresses
from controlplane.core.link_timings import LinkTimings
from controlplane.link.connection_limits import LinkLimits
from controlplane.usecases.secret_keys import Keyring, SecretKeySettings
from controlplane.web.http_limits import HttpLimits
from shared.blobs.options import S3Options
from shared.secrets.keyrings import KmsKey

_PREFIX = "VOLARY_"
_OTHER_PROGRAMS = ("VOLARY_AGENT_",)

T = TypeVar("T")


class SettingsError(Exception):
    """A setting is missing or invalid; the message names it and the remedy."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Settings of one control plane; its repr omits database URLs, keys and tokens.

    Without logins all peers are the same caller, so ``host`` must be this machine's loopback:
    SettingsError otherwise.
    """

    database_url: str = field(repr=False)
    owner_database_url: str = field(repr=False)
    fleet_database_url: str = field(default="", repr=False)
    direct_database_url: str = field(default="", repr=False)
    database_pool_size: int = 10
    link_pool_size: int = 4
    loop_pool_size: int = 4
    host: str = "127.0.0.1"
    http_port: int = 8100
    link_port: int = 8101
    link_limits: LinkLimits = field(default_factory=LinkLimits)
    http_limits: HttpLimits = field(default_factory=HttpLimits)
    stop_delay: timedelta = timedelta()
    public_url: str = "http://localhost:8100"
    blob_base: str
    blob_signing_key: bytes = field(repr=False)
    s3: S3Options = field(default_factory=S3Options)
    org: str = "local"
    cluster: str = "local"
    cluster_token: str = field(repr=False)
    secret_keys: SecretKeySettings = field(default_factory=SecretKeySettings)
    timings: LinkTimings = field(default_factory=LinkTimings)
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT

    def __post_init__(self) -> None:
        require_loopback(self.host)

    @property
    def addresses(self) -> Addresses:
        return _addresses(self.database_url, self.fleet_database_url, self.direct_database_url)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read every ``VOLARY_`` variable; SettingsError names the first invalid one."""
        read = _Reader(environment)
        database_url = read.required("DATABASE_URL", _database_url)
        http_port = read.optional("HTTP_PORT", 8100, _port)
        settings = cls(
            database_url=database_url,
            owner_database_url=read.optional("OWNER_DATABASE_URL", database_url, _database_url),
            fleet_database_url=read.optional("FLEET_DATABASE_URL", "", _database_url),
            direct_database_url=read.optional("DIRECT_DATABASE_URL", "", _database_url),
            database_pool_size=read.optional("DATABASE_POOL_SIZE", 10, _count),
            link_pool_size=read.optional("DATABASE_LINK_POOL_SIZE", 4, _count),
            loop_pool_size=read.optional("DATABASE_LOOP_POOL_SIZE", 4, _count),
            host=read.optional("HOST", "127.0.0.1", str),
            http_port=http_port,
            link_port=read.optional("LINK_PORT", 8101, _port),
            link_limits=LinkLimits(
                connections=read.optional("LINK_CONNECTIONS", LinkLimits().connections, _many)
            ),
            http_limits=_read_http_limits(read),
            stop_delay=read.optional("STOP_DELAY_SECONDS", timedelta(), _seconds),
            public_url=read.optional("PUBLIC_URL", f"http://localhost:{http_port}", _http_url),
            blob_base=read.required("BLOB_BASE", parse_blob_base),
            blob_signing_key=read.required("BLOB_SIGNING_KEY", _key),
            s3=S3Options(
                endpoint=read.optional("S3_ENDPOINT", "", _http_url),
                region=read.optional("S3_REGION", "", str),
                access_key=read.optional("S3_ACCESS_KEY", "", str),
                secret_key=read.optional("S3_SECRET_KEY", "", str),
                session_token=read.optional("S3_SESSION_TOKEN", "", str),
                path_style=read.optional("S3_PATH_STYLE", True, _truth),
                allow_http=read.optional("S3_ALLOW_HTTP", False, _truth),
            ),
            org=read.optional("ORG", "local", _name),
            cluster=read.optional("CLUSTER", "local", _name),
            cluster_token=read.required("CLUSTER_TOKEN", _token),
            secret_keys=_read_secret_keys(read),
            timings=_read_timings(read),
            log_level=read.optional("LOG_LEVEL", LogLevel.INFO, _one_of(LogLevel)),
            log_format=read.optional("LOG_FORMAT", LogFormat.TEXT, _one_of(LogFormat)),
        )
        read.require_nothing_unknown()
        return settings


def secret_keys(environment: Mapping[str, str]) -> SecretKeySettings:
    """Return where the keys of secrets are; SettingsError."""
    return _read_secret_keys(_Reader(environment))


def owner_database_url(environment: Mapping[str, str]) -> str:
    """Return the URL for migrations: the owner's, else the direct one (past a pooler), else any."""
    read = _Reader(environment)
    owner = read.optional("OWNER_DATABASE_URL", "", _database_url)
    direct = read.optional("DIRECT_DATABASE_URL", "", _database_url)
    return owner or direct or read.required("DATABASE_URL", _database_url)


def database_addresses(environment: Mapping[str, str], database_url: str = "") -> Addresses:
    """
    Return the addresses of the database; ``database_url`` overrides the environment.

    If it differs from the environment's, the fleet and direct URLs of the environment are
    ignored: they belong to another database.
    """
    read = _Reader(environment)
    configured = read.optional("DATABASE_URL", "", _database_url)
    if database_url and database_url != configured:
        return _addresses(database_url, "", "")
    return _addresses(
        read.required("DATABASE_URL", _database_url),
        read.optional("FLEET_DATABASE_URL", "", _database_url),
        read.optional("DIRECT_DATABASE_URL", "", _database_url),
    )


def _addresses(orgs: str, fleet: str, direct: str) -> Addresses:
    return Addresses(orgs=orgs, fleet=fleet or orgs, direct=direct or orgs)


def require_loopback(host: str) -> None:
    """Raise SettingsError unless ``host`` is a loopback address or ``localhost``."""
    if host == "localhost":
        return
    try:
        if ip_address(host).is_loopback:
            return
    except ValueError:
        pass  # a host name may resolve to any address
    raise SettingsError(
        f"{host} is not this machine's loopback: without logins anyone who can connect to Volary "
        "may do anything, so it listens only on loopback; use 127.0.0.1, ::1 or localhost"
    )


class _Reader:
    """Reads variables and records their names, so that a misspelt variable is an error."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._known: set[str] = set()

    def optional(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        variable = f"{_PREFIX}{name}"
        self._known.add(variable)
        text = self._environment.get(variable, "")
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise SettingsError(f"{variable} {error}") from error

    def required(self, name: str, parse: Callable[[str], T]) -> T:
        value = self.optional(name, None, parse)
        if value is None:
            raise SettingsError(f"{_PREFIX}{name} is not set; see docs/settings.md")
        return value

    def require_nothing_unknown(self) -> None:
        for name in sorted(self._environment):
            if name in self._known or not name.startswith(_PREFIX):
                continue
            if name.startswith(_OTHER_PROGRAMS):
                continue
            near = get_close_matches(name, self._known, n=1)
            remedy = f"did you mean {near[0]}?" if near else "see docs/settings.md"
            raise SettingsError(f"{name} is not a setting of the control plane; {remedy}")


def _read_http_limits(read: _Reader) -> HttpLimits:
    defaults = HttpLimits()
    return HttpLimits(
        connections=read.optional("HTTP_CONNECTIONS", defaults.connections, _many),
        connections_per_address=read.optional(
            "HTTP_CONNECTIONS_PER_ADDRESS", defaults.connections_per_address, _many
        ),
        head_bytes=read.optional("HTTP_HEAD_BYTES", defaults.head_bytes, _head_bytes),
        headers=read.optional("HTTP_HEADERS", defaults.headers, _count),
        head_within=read.optional("HTTP_HEAD_SECONDS", defaults.head_within, _duration),
        body_within=read.optional("HTTP_BODY_SECONDS", defaults.body_within, _duration),
    )


def _read_secret_keys(read: _Reader) -> SecretKeySettings:
    endpoint = read.optional("SECRETS_KMS_ENDPOINT", "", _http_url)
    arns: Sequence[tuple[str, str]] = read.optional("SECRETS_KMS_KEYS", (), _kms_keys)
    settings = SecretKeySettings(
        keyring=read.optional("SECRETS_KEYRING", None, _one_of(Keyring)),
        key_file=read.optional("SECRETS_KEY_FILE", None, Path),
        kms_keys=[KmsKey(arn, region, endpoint) for arn, region in arns],
    )
    needs = {Keyring.FILE: settings.key_file, Keyring.KMS: settings.kms_keys}
    if settings.keyring in needs and not needs[settings.keyring]:
        variable = "KEY_FILE" if settings.keyring is Keyring.FILE else "KMS_KEYS"
        raise SettingsError(
            f"{_PREFIX}SECRETS_KEYRING is {settings.keyring}; set {_PREFIX}SECRETS_{variable} too"
        )
    return settings


def _read_timings(read: _Reader) -> LinkTimings:
    defaults = LinkTimings()
    try:
        return LinkTimings(
            heartbeat=read.optional("LINK_HEARTBEAT_SECONDS", defaults.heartbeat, _duration),
            silent_after=read.optional(
                "LINK_SILENT_AFTER_SECONDS", defaults.silent_after, _duration
            ),
            acceptance=read.optional("LINK_ACCEPT_WITHIN_SECONDS", defaults.acceptance, _duration),
            self_fence=read.optional("LINK_SELF_FENCE_SECONDS", defaults.self_fence, _duration),
            reassign_after=read.optional(
                "LINK_REASSIGN_AFTER_SECONDS", defaults.reassign_after, _duration
            ),
        )
    except ValueError as error:
        raise SettingsError(
            f"the {_PREFIX}LINK_…_SECONDS contradict each other: {error}"
        ) from error


# Parsers: the text of their ValueError continues after the variable's name and contains no secret.


def _database_url(text: str) -> str:
    if urlsplit(text).scheme not in {"postgresql", "postgres"}:
        raise ValueError("does not begin with postgresql://")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise ValueError(f"is {text!r}, not a port from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ValueError(f"is {text!r}, not a number from 1 to 1000")
    return int(text)


def _many(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise ValueError(f"is {text!r}, not a number from 1 to 1000000")
    return int(text)


def _head_bytes(text: str) -> int:
    if not text.isdecimal() or not 4096 <= int(text) <= 1024 * 1024:
        raise ValueError(f"is {text!r}, not a number of bytes from 4096 to 1048576")
    return int(text)


def _duration(text: str) -> timedelta:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400:
        raise ValueError(f"is {text!r}, not a number of seconds from 0.1 to 86400")
    return timedelta(seconds=seconds)


def _seconds(text: str) -> timedelta:
    if not text.isdecimal() or int(text) > 45:
        raise ValueError(f"is {text!r}, not a number of seconds from 0 to 45")
    return timedelta(seconds=int(text))


def _http_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.netloc:
        raise ValueError(f"is {text!r}, not an http:// or https:// address")
    return text.rstrip("/")


def parse_blob_base(text: str) -> str:
    """Return the base URI of a blob store without trailing slashes; ValueError if invalid."""
    if not text.startswith(("file:///", "s3://")):
        raise ValueError(f"is {text!r}, not file:///directory or s3://bucket/prefix")
    return text.rstrip("/")


def _key(text: str) -> bytes:
    if len(text) < 32:
        raise ValueError("is shorter than 32 characters")
    return text.encode()


def _token(text: str) -> str:
    if len(text) < 20:
        raise ValueError("is shorter than 20 characters")
    return text


def _name(text: str) -> str:
    if len(text) > 63 or not text.replace("-", "").isalnum() or not text.isascii():
        raise ValueError(f"is {text!r}, not up to 63 letters, digits and dashes")
    return text


def _kms_keys(text: str) -> Sequence[tuple[str, str]]:
    """Parse ARNs of KMS keys, with the region of each."""
    arns = [each.strip() for each in text.split(",") if each.strip()]
    parts = [each.split(":") for each in arns]
    if not all(len(each) == 6 and each[2] == "kms" and each[3] for each in parts):
        raise ValueError("is not a list of ARNs of AWS KMS keys, separated by commas")
    return [(arn, each[3]) for arn, each in zip(arns, parts, strict=True)]


def _truth(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(f"is {text!r}, neither true nor false") from None


_Choice = TypeVar("_Choice", bound=StrEnum)


def _one_of(choices: type[_Choice]) -> Callable[[str], _Choice]:
    def parse(text: str) -> _Choice:
        try:
            return choices(text.lower())
        except ValueError:
            raise ValueError(f"is {text!r}, not one of {', '.join(choices)}") from None

    return parse
