"""
The agent's identity: its certificate with the key, kept in a store that survives restarts.

There may be two certificates: a renewed one, and the one before, which is dropped once the control
plane has welcomed the agent with the new one. So the process may die between any two steps:
one of the two is always valid. Everything is one document, so that a store needs no transactions.
"""

import base64
import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.kit.secrets import SecretBytes
from shared.kit.settings import SettingsError

_VERSION = 1


class IdentityError(SettingsError):
    """The identity cannot be read or written; the message names its place and the remedy."""


class IdentityChangedError(Exception):
    """Another replica has written the identity meanwhile; read it again."""


class IdentityStore(Protocol):
    """Keeps one document; ``str`` of a store is its place, for messages."""

    async def load(self) -> bytes | None:
        """Return the document, None if there is none yet; IdentityError."""

    async def save(self, document: bytes) -> None:
        """Replace the document; IdentityChangedError, IdentityError."""


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """A certificate chain with its key, both PEM."""

    key: SecretBytes
    chain: bytes
    serial: str  # hexadecimal
    valid_from: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The stored identity; ``certificates``: the newest first."""

    org: str = ""
    cluster: str = ""
    api_endpoint: str = ""  # host:port of the control plane's API
    ca_bundle: bytes = b""  # CA certificates (PEM) of the link, as the control plane gave them
    certificates: tuple[HeldCertificate, ...] = ()
    token_digest: bytes = b""  # of the join token that gave the identity
    pending_key: SecretBytes = field(default_factory=lambda: SecretBytes(b""))
    pending_digest: bytes = b""  # of the join token that the pending key uses


class Identity:
    """A credential of the link: the certificate to dial with."""

    def __init__(self, store: IdentityStore, document: Document) -> None:
        self._store = store
        self._document = document
        self._chosen = document.certificates[0]
        self._refused: set[str] = set()  # serials

    def __repr__(self) -> str:
        return f"<Identity {self.org}/{self.cluster} serial={self._chosen.serial}>"

    @property
    def org(self) -> str:
        return self._document.org

    @property
    def cluster(self) -> str:
        return self._document.cluster

    @property
    def api_endpoint(self) -> str:
        return self._document.api_endpoint

    @property
    def chosen(self) -> HeldCertificate:
        return self._chosen

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def key_pair(self) -> tuple[bytes, bytes] | None:
        return self._chosen.key.reveal(), self._chosen.chain

    def roots(self) -> bytes:
        return self._document.ca_bundle

    async def confirm(self) -> None:
        """Drop the other certificate: the control plane has welcomed the agent with this one."""
        self._refused.clear()
        if len(self._document.certificates) > 1:
            await self._save(replace(self._document, certificates=(self._chosen,)))

    async def add(self, key: SecretBytes, chain: bytes, ca_bundle: bytes = b"") -> None:
        """
        Store a renewed certificate beside the current one, and use it from now on.

        ``ca_bundle``: CA certificates of the link from now on; b"": as before.
        """
        renewed = parse_certificate(key, chain)
        document = replace(self._document, certificates=(renewed, self._chosen))
        await self._save(replace(document, ca_bundle=ca_bundle) if ca_bundle else document)
        self._chosen = renewed

    def try_another(self, *, is_refused: bool) -> bool:
        """
        Choose the other certificate for the next dial; False if there is none to try.

        ``is_refused``: the control plane refused the chosen one for good.
        """
        if is_refused:
            self._refused.add(self._chosen.serial)
        for each in self._document.certificates:
            if each.serial != self._chosen.serial and each.serial not in self._refused:
                self._chosen = each
                return True
        return False

    async def _save(self, document: Document) -> None:
        await self._store.save(render_document(document))
        self._document = document


def make_key() -> SecretBytes:
    """Make a P-256 key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return SecretBytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def make_request(key: SecretBytes) -> bytes:
    """Return a signing request (PKCS 10, DER), which proves that this agent has the key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "volary agent")])
    private = serialization.load_pem_private_key(key.reveal(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise IdentityError("the agent's key is not an elliptic curve key")
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    return request.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def parse_certificate(key: SecretBytes, chain: bytes) -> HeldCertificate:
    """Parse a chain from the control plane; IdentityError if it is none, or of another key."""
    try:
        certificate = x509.load_pem_x509_certificate(chain)
        private = serialization.load_pem_private_key(key.reveal(), password=None)
    except (ValueError, TypeError) as error:
        raise IdentityError("a certificate of the agent, or its key, cannot be read") from error
    if certificate.public_key() != private.public_key():
        raise IdentityError("the certificate is not of the agent's key")
    return HeldCertificate(
        key,
        chain,
        f"{certificate.serial_number:x}",
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def render_document(document: Document) -> bytes:
    content = {
        "version": _VERSION,
        "org": document.org,
        "cluster": document.cluster,
        "api_endpoint": document.api_endpoint,
        "ca_bundle": document.ca_bundle.decode(),
        "certificates": [
            {"key": each.key.reveal().decode(), "chain": each.chain.decode()}
            for each in document.certificates
        ],
        "token_digest": _encode(document.token_digest),
        "pending_key": document.pending_key.reveal().decode(),
        "pending_digest": _encode(document.pending_digest),
    }
    return json.dumps(content, indent=1).encode()


def parse_document(raw: bytes, place: str) -> Document:
    """Parse a stored document; IdentityError names its place."""
    try:
        content: dict[str, Any] = json.loads(raw)
        return Document(
            org=content["org"],
            cluster=content["cluster"],
            api_endpoint=content["api_endpoint"],
            ca_bundle=content.get("ca_bundle", "").encode(),
            certificates=tuple(
                parse_certificate(SecretBytes(each["key"].encode()), each["chain"].encode())
                for each in content["certificates"]
            ),
            token_digest=base64.b64decode(content["token_digest"]),
            pending_key=SecretBytes(content["pending_key"].encode()),
            pending_digest=base64.b64decode(content["pending_digest"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IdentityError) as error:
        # Not the error's text: it could quote the key.
        raise IdentityError(
            f"{place} holds no identity of an agent; delete it, and enrol with a new join token"
        ) from error


def _encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
