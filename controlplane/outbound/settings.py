"""Settings of notifications: what webhooks may reach, and the server that sends mail."""

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

from shared.kit.secrets import SecretText
from shared.kit.settings import Kind, kinds, setting, settings


class MailSecurity(StrEnum):
    """How the connection to the mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


NETWORK: Kind[IPv4Network | IPv6Network] = Kind(
    accepts="a network such as 10.0.0.0/8", parse=ip_network, metavar="NETWORK"
)


@settings("Notifications", "Webhooks and mail about runs ([notifications](notifications.md)).")
class NotificationSettings:
    """ValueError for a mail server without a sender, or a password without a user."""

    allow_http: bool = setting(
        "VOLARY_WEBHOOK_ALLOW_HTTP",
        kinds.boolean(),
        "Webhooks may have `http://` addresses, whose content crosses the network in the clear.",
        default=False,
    )
    allowed_networks: Sequence[IPv4Network | IPv6Network] = setting(
        "VOLARY_WEBHOOK_ALLOWED_NETWORKS",
        kinds.listing(NETWORK),
        "Networks that webhooks may reach although their addresses are not public. Every member "
        "who may start runs can send requests there.",
        default=(),
    )
    smtp_host: str | None = setting(
        "VOLARY_SMTP_HOST",
        kinds.text(253, metavar="HOST"),
        "The server that sends mail. Without one, rules that send mail are refused.",
        default=None,
        default_text="no mail",
    )
    smtp_port: int = setting(
        "VOLARY_SMTP_PORT", kinds.port(), "The port of the mail server.", default=587
    )
    smtp_security: MailSecurity = setting(
        "VOLARY_SMTP_SECURITY",
        kinds.one_of(MailSecurity),
        "Encryption of the connection to the mail server. With `none` mail and the password "
        "cross the network in the clear.",
        default=MailSecurity.STARTTLS,
    )
    smtp_user: str | None = setting(
        "VOLARY_SMTP_USER",
        kinds.text(253, metavar="USER"),
        "The user at the mail server.",
        default=None,
        default_text="no login",
    )
    smtp_password: SecretText | None = setting(
        "VOLARY_SMTP_PASSWORD",
        kinds.secret(at_least=1),
        "The password of that user.",
        default=None,
    )
    mail_from: str | None = setting(
        "VOLARY_MAIL_FROM",
        kinds.text(253, metavar="ADDRESS"),
        "The sender of mail.",
        default=None,
    )

    def __post_init__(self) -> None:
        if self.smtp_host and not (self.mail_from and "@" in self.mail_from):
            raise ValueError("VOLARY_SMTP_HOST needs the sender of mail; set VOLARY_MAIL_FROM")
        if (self.smtp_user is None) != (self.smtp_password is None):
            raise ValueError(
                "a login at the mail server has a user and a password; set both"
                " VOLARY_SMTP_USER and VOLARY_SMTP_PASSWORD, or none"
            )
