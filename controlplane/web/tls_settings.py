"""Settings of TLS on the HTTP port, and of proxies that end TLS in front of it."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from shared.kit.settings import Kind, kinds, setting, settings
from shared.kit.settings.paths import path

Network = IPv4Network | IPv6Network

LOOPBACK: Sequence[Network] = (ip_network("127.0.0.0/8"), ip_network("::1"))

_NETWORK: Kind[Network] = Kind(
    accepts="an address or a network such as 10.0.0.0/8", parse=ip_network, metavar="NETWORK"
)
_NETWORKS = kinds.listing(_NETWORK)


@settings("TLS of the HTTP port")
class TlsSettings:
    """ValueError for one file without the other, or proxies in the clear that are not named."""

    certificate_file: Path | None = setting(
        "VOLARY_TLS_CERT_FILE",
        path(),
        "PEM file with the certificate of the HTTP port, and the chain below it. With it the port "
        "serves TLS 1.2 and 1.3 only. The files are read again when they change, such as those of "
        "a Secret that is mounted; a pair that cannot be used is logged, and the one before stays.",
        default=None,
        default_text="no TLS",
    )
    key_file: Path | None = setting(
        "VOLARY_TLS_KEY_FILE",
        path(),
        "PEM file with the key of that certificate, without a password.",
        default=None,
    )
    trusted_proxies: Sequence[Network] = setting(
        "VOLARY_TRUSTED_PROXIES",
        _NETWORKS,
        "Addresses of load balancers and proxies in front of the HTTP port. Their "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are believed, no others: the audit log and "
        "the limits of credential endpoints then have the client's address. A network that is too "
        "large lets its clients claim any address.",
        default=(),
    )
    plaintext_for_proxies: bool = setting(
        "VOLARY_PLAINTEXT_FOR_PROXIES",
        kinds.boolean(),
        "Serve without TLS beyond loopback, for `VOLARY_TRUSTED_PROXIES` that end TLS. Other "
        "addresses are answered 403, except on `/healthz` and `/readyz`. Access tokens cross the "
        "network between proxy and control plane in the clear.",
        default=False,
    )
    metrics_from: Sequence[Network] = setting(
        "VOLARY_METRICS_FROM",
        _NETWORKS,
        "Addresses that may read `/metrics`; others are answered 404.",
        default=LOOPBACK,
        default_text="`127.0.0.0/8,::1`",
    )

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError(
                "TLS needs a certificate and its key; set both VOLARY_TLS_CERT_FILE and"
                " VOLARY_TLS_KEY_FILE, or none"
            )
        if not self.plaintext_for_proxies:
            return
        if not self.trusted_proxies:
            raise ValueError(
                "VOLARY_PLAINTEXT_FOR_PROXIES needs the addresses of the proxies; set"
                " VOLARY_TRUSTED_PROXIES"
            )
        if self.files is not None:
            raise ValueError(
                "VOLARY_PLAINTEXT_FOR_PROXIES is for proxies that end TLS; with"
                " VOLARY_TLS_CERT_FILE the port speaks TLS, so unset one of them"
            )

    @property
    def files(self) -> tuple[Path, Path] | None:
        """The files of the certificate and its key; None without TLS."""
        if self.certificate_file is None or self.key_file is None:
            return None
        return self.certificate_file, self.key_file
