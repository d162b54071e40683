"""Certificate authority of a test cluster: issues certificates and keys as files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.kit.clock import SystemClock

_VALID_FOR = timedelta(days=1)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, each for clients and servers alike, into one directory."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("volary-tests-ca")
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = home / "ca.crt"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, *, groups: Sequence[str] = (), reached_at: Sequence[str] = ()
    ) -> Identity:
        """Sign for a user and its groups; a server says the names and addresses it has."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_subject(name, groups), key.public_key()).add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            ),
            critical=False,
        )
        if reached_at:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_place(place) for place in reached_at]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        identity = self._files(name)
        identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        identity.key.write_bytes(_pem(key))
        return identity

    def key(self, name: str) -> Path:
        """Make a key without a certificate, to sign service accounts' tokens with."""
        path = self._files(name).key
        path.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
        return path

    def _files(self, name: str) -> Identity:
        stem = name.replace(":", "-").replace("/", "-")
        return Identity(self._home / f"{stem}.crt", self._home / f"{stem}.key")

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = SystemClock().now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _VALID_FOR)
        )


def _subject(name: str, groups: Sequence[str] = ()) -> x509.Name:
    """Kubernetes reads a user from the common name, and its groups from the organizations."""
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _place(place: str) -> x509.GeneralName:
    try:
        address = ip_address(place)
    except ValueError:
        return x509.DNSName(place)
    assert isinstance(address, IPv4Address)
    return x509.IPAddress(address)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,  # from which its public half is read, too
        serialization.NoEncryption(),
    )
