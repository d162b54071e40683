"""Create certificates in memory: the proxy's own authority, and server certificates it signs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dataplane.agent.proxy import proxy_limits
from shared.kit.settings import SettingsError


class CertificateError(SettingsError):
    """A certificate or key cannot be used; the message names its source."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Issued:
    pair: KeyPair
    until: datetime


def make_authority(now: datetime) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Not the subject of what it signs: that would look self-signed.
    name = _name("volary-proxy authority")
    certificate = (
        _builder(name, name, key.public_key(), now, now + proxy_limits.CA_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(_pem(certificate), _key_pem(key))


def issue(authority: KeyPair, projects: Sequence[str], now: datetime) -> Issued:
    """Sign a server certificate for ``projects``, names or addresses; return its whole chain."""
    try:
        ca_certificate = x509.load_pem_x509_certificate(authority.certificate)
        ca_key = serialization.load_pem_private_key(authority.key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError("the proxy's authority is not a certificate with its key") from error
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the key of the proxy's authority is not an elliptic curve key")
    until = min(now + proxy_limits.CERTIFICATE_LASTS, ca_certificate.not_valid_after_utc)
    if until <= now:
        raise CertificateError(
            "the proxy's authority has expired; delete its Secret and restart the agent"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("volary-proxy"), ca_certificate.subject, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_place(place) for place in projects]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    return Issued(KeyPair(_pem(certificate) + authority.certificate, _key_pem(key)), until)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - proxy_limits.CLOCK_SKEW)
        .not_valid_after(until)
    )


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


def _place(place: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(place))
    except ValueError:
        return x509.DNSName(place)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
