"""
The certificate authorities of agents: they sign client certificates for the agents' link.

A certificate says which org and cluster it was issued for, but that is for people and logs:
the control plane looks up each certificate by its fingerprint, and believes its own row.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controlplane.core.agent_identity import CERTIFICATE_LIFE
from controlplane.core.errors import InvalidError, UnavailableError

ROTATE_EVERY = timedelta(days=90)
"""Age at which an authority gets a successor."""
PUBLISHED_BEFORE = timedelta(hours=1)
"""How long replicas trust an authority before it signs."""
_OUTLIVES = CERTIFICATE_LIFE + timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=5)
MAX_REQUEST_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority; it signs from ``active_from`` on, until another one is active."""

    id: UUID
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    active_from: datetime

    @property
    def expires_at(self) -> datetime:
        return self.certificate.not_valid_after_utc

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A signed certificate."""

    serial: str
    fingerprint: bytes
    pem: str
    expires_at: datetime


class AuthoritySet:
    """The authorities that this replica knows; replaced as a whole when they were read again."""

    def __init__(self) -> None:
        self._all: Sequence[Authority] = ()

    def replace(self, authorities: Sequence[Authority]) -> None:
        self._all = authorities

    def current(self, now: datetime) -> Authority:
        """Return the authority that signs at ``now``; UnavailableError if none was read yet."""
        active = [each for each in self._all if each.active_from <= now < each.expires_at]
        if not active:
            raise UnavailableError("the control plane has no certificate authority yet; try again")
        return max(active, key=lambda each: (each.active_from, each.id))

    def roots(self) -> bytes:
        """Return the certificates that clients' certificates may be signed by, as PEM."""
        return b"".join(each.pem for each in self._all)


def make_authority(authority_id: UUID, active_from: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own: certificates of two authorities are told apart by it.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"volary agents {authority_id}")])
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(active_from - PUBLISHED_BEFORE - CLOCK_SKEW)
        .not_valid_after(active_from + ROTATE_EVERY + _OUTLIVES)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(id=authority_id, certificate=certificate, key=key, active_from=active_from)


def load_authority(
    authority_id: UUID, certificate: bytes, private_key: bytes, active_from: datetime
) -> Authority:
    """Load an authority from its stored certificate (PEM) and opened key."""
    key = serialization.load_pem_private_key(private_key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the key of an authority is an elliptic curve key")
    parsed = x509.load_pem_x509_certificate(certificate)
    return Authority(id=authority_id, certificate=parsed, key=key, active_from=active_from)


def dump_key(authority: Authority) -> bytes:
    """Return the private key as PKCS 8 in PEM; it is to be sealed before it is stored."""
    return authority.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def is_due(authorities: Sequence[Authority], now: datetime) -> bool:
    """Return whether a successor has to be published now, or a first authority."""
    newest = max((each.active_from for each in authorities), default=None)
    return newest is None or now >= newest + ROTATE_EVERY - PUBLISHED_BEFORE


def parse_request(der: bytes) -> bytes:
    """
    Return the public key (SubjectPublicKeyInfo) of a certificate signing request.

    Its signature proves that the sender has the private key. Nothing else in it is used: the
    control plane chooses the names and the extensions. InvalidError.
    """
    if len(der) > MAX_REQUEST_BYTES:
        raise InvalidError(f"the signing request has more than {MAX_REQUEST_BYTES} bytes")
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise InvalidError("the signing request is not a PKCS 10 request in DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidError("the key of the signing request is not of the curve P-256")
    if not is_signed:
        raise InvalidError("the signing request is not signed by its own key: it was altered")
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def issue(
    authority: Authority,
    public_key: bytes,
    *,
    org: str,
    cluster: str,
    now: datetime,
    life: timedelta = CERTIFICATE_LIFE,
) -> Issued:
    """Sign a client certificate for a public key of :func:`parse_request`."""
    key = serialization.load_der_public_key(public_key)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the key of an agent is an elliptic curve key")
    serial = x509.random_serial_number()
    until = min(now + life, authority.expires_at)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "volary agent")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(f"volary://{org}/{cluster}")]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return Issued(
        serial=f"{serial:x}",
        fingerprint=certificate.fingerprint(hashes.SHA256()),
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        expires_at=certificate.not_valid_after_utc,
    )


def fingerprint_of_pem(pem: bytes) -> bytes | None:
    """Return the SHA-256 of a certificate; None if it is none."""
    try:
        return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256())
    except ValueError:
        return None


def name_key(public_key: bytes) -> str:
    """Return the fingerprint of a public key, for people to compare."""
    return f"SHA256:{base64.b64encode(sha256(public_key).digest()).decode().rstrip('=')}"


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
