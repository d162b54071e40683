"""Settings of TLS on the agents' ports; without gRPC, which commands need not load."""

from pathlib import Path

from shared.kit.settings import kinds, setting, settings
from shared.kit.settings.paths import path


@settings("TLS of the agents' link")
class LinkTlsSettings:
    """ValueError for one file without the other."""

    certificate_file: Path | None = setting(
        "VOLARY_LINK_TLS_CERT_FILE",
        path(),
        "PEM file with the certificate of the agents' ports, and the chain below it. With it the "
        "ports speak TLS only, agents need certificates of their own (`volary cluster "
        "join-token`), and `VOLARY_CLUSTER_TOKEN` opens nothing. Needs `VOLARY_SEALING_KEY`. The "
        "files are read again when they change.",
        default=None,
        default_text="no TLS, on loopback only",
    )
    key_file: Path | None = setting(
        "VOLARY_LINK_TLS_KEY_FILE",
        path(),
        "PEM file with the key of that certificate, without a password.",
        default=None,
    )
    ca_file: Path | None = setting(
        "VOLARY_LINK_CA_FILE",
        path(),
        "PEM file with the CA certificates by which agents verify the link, if they are private ones; "
        "several while one replaces another. Agents get them when they enrol and at each renewal, "
        "once a day: add a new one a day before `VOLARY_LINK_TLS_CERT_FILE` needs it.",
        default=None,
        default_text="agents trust their `VOLARY_AGENT_CA_FILE`, or the system's",
    )
    host: str | None = setting(
        "VOLARY_LINK_HOST",
        kinds.text(253, metavar="HOST"),
        "The address on which the agents' ports listen. Other addresses than loopback need TLS.",
        default=None,
        default_text="`VOLARY_HOST`, or `127.0.0.1` without TLS",
    )
    enrolment_port: int = setting(
        "VOLARY_ENROLMENT_PORT",
        kinds.port(),
        "Agents that have a join token and no certificate yet (gRPC over TLS); only with "
        "`VOLARY_LINK_TLS_CERT_FILE`. `0` selects a free port. Agents expect 8102 at the link's "
        "host.",
        default=8102,
    )

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError(
                "TLS of the link needs a certificate and its key; set both"
                " VOLARY_LINK_TLS_CERT_FILE and VOLARY_LINK_TLS_KEY_FILE, or none"
            )

    @property
    def files(self) -> tuple[Path, Path] | None:
        """The files of the certificate and its key; None without TLS."""
        if self.certificate_file is None or self.key_file is None:
            return None
        return self.certificate_file, self.key_file
