"""
Prepares ``volary up --login``: TLS by an authority of its own, and the one-time link of an owner.

The authority is made once and kept in the data directory, so a browser or program that trusts it goes
on doing so; each start signs a new certificate for the server.
"""

import json
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from controlplane.authn.login_settings import AuthMode, LoginSettings
from controlplane.authn.sealing import parse_sealing_keys
from controlplane.core.callers import Caller, Permission, Subject, org_wide
from controlplane.core.identity import link_to_join
from controlplane.embedded.data_directory import DataDirectory
from controlplane.embedded.errors import UpError
from controlplane.settings import ListenerSettings, Settings
from controlplane.store.database import open_database
from controlplane.usecases.identity.invitations import Invitations
from controlplane.web.tls_settings import TlsSettings
from shared.kit.certificates import CertificateError, KeyPair, issue, make_authority
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

_HOSTS = ("localhost", "127.0.0.1", "::1")
_AUTHORITY_LASTS = timedelta(days=5 * 365)
_CERTIFICATE_LASTS = timedelta(days=365)

_FLYTE_CONFIG = """\
# For the flyte command line and SDK; written by `volary up --login`.
admin:
  endpoint: dns:///{endpoint}
  authType: Pkce
  caCertFilePath: {ca_file}
task:
  org: {org}
  project: flytesnacks
  domain: development
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFiles:
    """Files of the data directory for people and programs that log in."""

    ca_file: Path
    certificate_file: Path
    key_file: Path
    flyte_config: Path


def prepare(directory: DataDirectory, clock: Clock) -> LoginFiles:
    """Make the certificate, and the authority at the first use; UpError says what to delete."""
    tls = directory.root / "tls"
    tls.mkdir(mode=0o700, exist_ok=True)
    files = LoginFiles(
        ca_file=tls / "ca.crt",
        certificate_file=tls / "server.crt",
        key_file=tls / "server.key",
        flyte_config=directory.root / "flyte.yaml",
    )
    authority, now = _open_authority(files.ca_file, tls / "ca.key", clock), clock.now()
    try:
        issued = issue(authority, "volary up", _HOSTS, now, lasts=_CERTIFICATE_LASTS)
    except CertificateError as error:
        raise UpError(f"{tls}: {error}") from error
    _write(files.key_file, issued.pair.key)
    _write(files.certificate_file, issued.pair.certificate)
    return files


def listeners(files: LoginFiles, *, host: str, http_port: int, link_port: int) -> ListenerSettings:
    tls = TlsSettings(certificate_file=files.certificate_file, key_file=files.key_file)
    return ListenerSettings(host=host, http_port=http_port, link_port=link_port, tls=tls)


def login_settings(directory: DataDirectory, given: LoginSettings) -> LoginSettings:
    """Return ``given`` with logins, and with the sealing key of this directory."""
    # 43 characters of 32 bytes; Base64 wants a 44th.
    key = parse_sealing_keys(directory.secret("sealing-key") + "=")
    return replace(given, mode=AuthMode.OIDC, keys=key, key_file=None)


def write_flyte_config(files: LoginFiles, endpoint: str, org: str) -> None:
    content = _FLYTE_CONFIG.format(
        endpoint=endpoint, ca_file=json.dumps(str(files.ca_file)), org=org
    )
    _write(files.flyte_config, content.encode())


async def make_owner_link(settings: Settings, clock: Clock) -> SecretText:
    """Return a link that logs in an owner once; links made before stop working."""
    addresses = settings.database.addresses
    database = open_database(
        addresses.orgs, pool_size=1, fleet_url=addresses.fleet, pooled=addresses.pooled
    )
    operator = Caller(
        subject=Subject("operator:volary-up"),
        org=OrgName(settings.tenant.org),
        name="volary up",
        grants=org_wide([Permission.ORG_WRITE]),
    )
    try:
        token = await Invitations(database, clock).create_owner_link(operator)
    finally:
        await database.close()
    return SecretText(link_to_join(settings.listeners.public_url, token))


def _open_authority(ca_file: Path, key_file: Path, clock: Clock) -> KeyPair:
    try:
        return KeyPair(ca_file.read_bytes(), key_file.read_bytes())
    except FileNotFoundError:
        made = make_authority("Volary on this machine", clock.now(), lasts=_AUTHORITY_LASTS)
        _write(key_file, made.key)
        _write(ca_file, made.certificate)  # last: without it, both are made again
        return made


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
