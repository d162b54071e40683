"""Can a host be reached: its name, its port, its certificate?"""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplane.agent.doctor.findings import Finding, doubt, fault, fine
from shared.kit.clock import Clock

CONNECT_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where somebody listens, as the agent is told, and how it is trusted."""

    about: str
    host: str
    port: int
    setting: str  # what to change, if it is wrong
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


def read_ca(ca_file: Path | None, about: str) -> str | Finding | None:
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


async def reach(place: Place, clock: Clock) -> Finding:
    """Resolve, connect, and shake hands; hang up."""
    try:
        async with asyncio.timeout(CONNECT_WITHIN.total_seconds()):
            await asyncio.get_running_loop().getaddrinfo(
                place.host, place.port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        return fault(
            place.about,
            f"the name {place.host} is not resolved within {CONNECT_WITHIN.seconds} s",
            "let pods ask the cluster's DNS: UDP and TCP port 53 (networkPolicy)",
        )
    except socket.gaierror as error:
        return fault(
            place.about,
            f"the name {place.host} does not resolve: {error.strerror}",
            f"correct {place.setting}, or let the cluster's DNS know the name",
        )
    return await _connect(place, clock)


async def _connect(place: Place, clock: Clock) -> Finding:
    trust = None if place.is_plain else ssl.create_default_context(cadata=place.ca)
    if trust is not None:
        trust.set_alpn_protocols(["h2", "http/1.1"])
    try:
        async with asyncio.timeout(CONNECT_WITHIN.total_seconds()):
            _, writer = await asyncio.open_connection(place.host, place.port, ssl=trust)
    except TimeoutError:
        return fault(
            place.about,
            f"{place.address} does not answer within {CONNECT_WITHIN.seconds} s",
            f"allow this cluster to reach TCP port {place.port} of {place.host}: firewall, "
            "network policy (networkPolicy.extraEgress), route",
        )
    except ssl.SSLCertVerificationError as error:
        return fault(
            place.about,
            f"{place.address} shows a certificate that is not trusted: {error.verify_message}",
            f"give {place.ca_setting} the authority that signed it, or correct {place.setting}",
        )
    except ssl.SSLError as error:
        return fault(
            place.about,
            f"{place.address} does not speak TLS: {error.reason or error}",
            f"correct the port in {place.setting}, or have TLS terminated in front of it",
        )
    except OSError as error:
        why = "nobody listens there" if isinstance(error, ConnectionRefusedError) else str(error)
        return fault(
            place.about,
            f"{place.address} cannot be reached: {why}",
            f"start what listens there, or correct {place.setting}",
        )
    try:
        return _judge_certificate(place, writer, clock)
    finally:
        writer.close()


def _judge_certificate(place: Place, writer: asyncio.StreamWriter, clock: Clock) -> Finding:
    if place.is_plain:
        return fine(place.about, f"{place.address} answers, without TLS on this machine")
    shown = writer.get_extra_info("peercert") or {}
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    left = until - clock.now()
    if left < place.expires_soon:
        return doubt(
            place.about,
            f"the certificate of {place.address} expires in {left.days} days",
            "renew it: once it has expired nothing is trusted any more",
        )
    return fine(place.about, f"{place.address} answers, with a certificate until {until:%Y-%m-%d}")
