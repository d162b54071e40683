"""Check whether a host can be reached: name, port, certificate."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplane.agent.doctor.results import CheckResult, fault, fine, warning
from shared.kit.clock import Clock

CONNECT_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address of a server, from the agent's settings, and how it is trusted."""

    about: str
    host: str
    port: int
    setting: str  # the setting to change, if it is wrong
    ca: str | None = None  # PEM, instead of the system's
    ca_setting: str = ""
    is_plain: bool = False  # no TLS
    expires_soon: timedelta = timedelta(days=14)  # its certificate should have been renewed by then

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def read_ca(ca_file: Path | None, about: str) -> str | CheckResult | None:
    """Return the PEM text of a file of certificates; None if there is no such setting."""
    if ca_file is None:
        return None
    try:
        text = ca_file.read_text(encoding="ascii")
        ssl.create_default_context(cadata=text)
    except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
        return fault(
            about,
            f"the certificates of {ca_file} cannot be read: {error}",
            "give --ca-file (controlPlane.certificateAuthority) a file of PEM certificates",
        )
    return text


async def reach(endpoint: Endpoint, clock: Clock) -> CheckResult:
    """Resolve the name, connect, do the TLS handshake; close the connection."""
    try:
        async with asyncio.timeout(CONNECT_WITHIN.total_seconds()):
            await asyncio.get_running_loop().getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        return fault(
            endpoint.about,
            f"the name {endpoint.host} is not resolved within {CONNECT_WITHIN.seconds} s",
            "let pods reach the cluster's DNS: UDP and TCP port 53 (networkPolicy)",
        )
    except socket.gaierror as error:
        return fault(
            endpoint.about,
            f"the name {endpoint.host} does not resolve: {error.strerror}",
            f"correct {endpoint.setting}, or let the cluster's DNS know the name",
        )
    return await _connect(endpoint, clock)


async def _connect(endpoint: Endpoint, clock: Clock) -> CheckResult:
    trust = None if endpoint.is_plain else ssl.create_default_context(cadata=endpoint.ca)
    if trust is not None:
        trust.set_alpn_protocols(["h2", "http/1.1"])
    try:
        async with asyncio.timeout(CONNECT_WITHIN.total_seconds()):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=trust)
    except TimeoutError:
        return fault(
            endpoint.about,
            f"{endpoint.address} does not answer within {CONNECT_WITHIN.seconds} s",
            f"allow this cluster to reach TCP port {endpoint.port} of {endpoint.host}: firewall, "
            "network policy (networkPolicy.extraEgress), route",
        )
    except ssl.SSLCertVerificationError as error:
        return fault(
            endpoint.about,
            f"{endpoint.address} shows a certificate that is not trusted: {error.verify_message}",
            f"give {endpoint.ca_setting} the authority that signed it, or correct {endpoint.setting}",
        )
    except ssl.SSLError as error:
        return fault(
            endpoint.about,
            f"{endpoint.address} does not speak TLS: {error.reason or error}",
            f"correct the port in {endpoint.setting}, or have TLS terminated in front of it",
        )
    except OSError as error:
        why = "nothing listens there" if isinstance(error, ConnectionRefusedError) else str(error)
        return fault(
            endpoint.about,
            f"{endpoint.address} cannot be reached: {why}",
            f"start what listens there, or correct {endpoint.setting}",
        )
    try:
        return _check_certificate(endpoint, writer, clock)
    finally:
        writer.close()


def _check_certificate(
    endpoint: Endpoint, writer: asyncio.StreamWriter, clock: Clock
) -> CheckResult:
    if endpoint.is_plain:
        return fine(endpoint.about, f"{endpoint.address} answers, without TLS on this machine")
    shown = writer.get_extra_info("peercert") or {}
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    remaining = until - clock.now()
    if remaining < endpoint.expires_soon:
        return warning(
            endpoint.about,
            f"the certificate of {endpoint.address} expires in {remaining.days} days",
            "renew it: once it has expired no connection is accepted",
        )
    return fine(
        endpoint.about, f"{endpoint.address} answers, with a certificate until {until:%Y-%m-%d}"
    )
