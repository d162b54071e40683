"""Opens gRPC channels to the control plane: credentials, TLS, keepalive."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio

from dataplane.agent.core import link_limits
from shared.kit.settings import SettingsError

_OPTIONS = (
    # A dead peer is noticed in 30 s even where a firewall drops its FIN or RST.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", link_limits.MAX_FRAME_BYTES),
    # Connection backs off, with jitter; the channel must not add its own two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Two agents in one process (tests) must not share a connection.
    ("grpc.use_local_subchannel_pool", 1),
)


class AgentRefusedError(SettingsError):
    """The control plane rejected this agent for good; the message names the remedy."""


class DialError(SettingsError):
    """The control plane cannot be dialled with these settings; the message names the remedy."""


class Credential(Protocol):
    """Proves to the control plane which agent calls: a shared token, or a certificate."""

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call; DialError."""

    def key_pair(self) -> tuple[bytes, bytes] | None:
        """Return the client's key and certificate chain, PEM; None without a certificate."""

    def roots(self) -> bytes:
        """Return CA certificates (PEM) that the control plane gave, to trust beside the file's."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the cluster shares with the control plane; re-read for each session."""

    path: Path = field(repr=False)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the call's metadata; raise DialError if the token file has no valid token."""
        try:
            text = self.path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DialError(
                f"the token file {self.path} cannot be read; check --token-file"
            ) from error
        if not re.fullmatch(r"[!-~]{1,16384}", text):
            raise DialError(f"the token file {self.path} holds no token; check --token-file")
        return (("authorization", f"Bearer {text}"),)

    def key_pair(self) -> None:
        return None

    def roots(self) -> bytes:
        return b""


def is_loopback(address: str) -> bool:
    """Return whether ``host:port`` can only be this machine."""
    host = address.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a host name: it may resolve to anything


def open_channel(
    address: str,
    ca_file: Path | None = None,
    credential: Credential | None = None,
    *,
    encrypts: bool = False,
) -> grpc.aio.Channel:
    """
    Open a channel to ``host:port`` with TLS.

    Without TLS if the address is a loopback one and there is neither a CA nor a certificate,
    unless ``encrypts``. Files are read at each dial, so that they can be replaced.
    """
    pair = None if credential is None else credential.key_pair()
    if not encrypts and pair is None and ca_file is None and is_loopback(address):
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    roots = b"" if credential is None else credential.roots()
    if ca_file is not None:
        try:
            roots = ca_file.read_bytes() + b"\n" + roots
        except OSError as error:
            raise DialError(f"the CA file {ca_file} cannot be read; check --ca-file") from error
    key, chain = pair or (None, None)
    return grpc.aio.secure_channel(
        address, grpc.ssl_channel_credentials(roots or None, key, chain), options=_OPTIONS
    )
