"""A mail server that records messages."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from controlplane.outbound.settings import MailSecurity, NotificationSettings


@dataclass(slots=True)
class Mailbox:
    """Received mail, and a server that answers each recipient as ``answers`` says."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - the interface's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(  # noqa: N802 - the interface's
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append((list(envelope.rcpt_tos), message))
        return "250 OK"

    @property
    def settings(self) -> NotificationSettings:
        return NotificationSettings(
            smtp_host="127.0.0.1",
            smtp_port=self.port,
            smtp_security=MailSecurity.NONE,
            mail_from="Volary <volary@example.com>",
        )


@asynccontextmanager
async def receiving_mail(**answers: str) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(answers={f"{name}@example.com": each for name, each in answers.items()})
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="mail.example.com"), "127.0.0.1", 0
    )
    mailbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mailbox
