"""Sends mail by the operator's mail server, one message for each connection."""

import asyncio
from datetime import timedelta
from email.message import EmailMessage

import aiosmtplib

from controlplane.core.notifications import Email
from controlplane.outbound.results import Sent, failed, refused
from controlplane.outbound.settings import MailSecurity, NotificationSettings

TIMEOUT = timedelta(seconds=10)
_PERMANENT = 500  # SMTP answers from here on: another try does not help


class Mail:
    """Sender of mail."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings

    @property
    def is_configured(self) -> bool:
        return self._settings.smtp_host is not None

    async def send(self, email: Email, message_id: str) -> Sent:
        """Send one message; no failure of the server raises."""
        settings = self._settings
        if settings.smtp_host is None or settings.mail_from is None:
            return refused("this installation has no mail server")
        message = make_message(email, settings.mail_from, message_id)
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                errors, _ = await aiosmtplib.send(
                    message,
                    sender=settings.mail_from,
                    recipients=[*email.to, *email.cc, *email.bcc],
                    hostname=settings.smtp_host,
                    port=settings.smtp_port,
                    username=settings.smtp_user,
                    password=settings.smtp_password.reveal() if settings.smtp_password else None,
                    use_tls=settings.smtp_security is MailSecurity.TLS,
                    start_tls=settings.smtp_security is MailSecurity.STARTTLS,
                    timeout=TIMEOUT.total_seconds(),
                )
        except TimeoutError:
            return failed("the mail server did not answer in time")
        except aiosmtplib.SMTPAuthenticationError as error:
            return failed("the mail server refuses the login", status=error.code)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [each.code for each in error.recipients]
            result = refused if min(codes) >= _PERMANENT else failed
            return result("the mail server refuses all recipients", status=min(codes))
        except aiosmtplib.SMTPResponseException as error:
            result = refused if error.code >= _PERMANENT else failed
            return result(f"the mail server answered {error.code}", status=error.code)
        except (aiosmtplib.SMTPException, OSError) as error:
            return failed(f"the mail server is unreachable: {type(error).__name__}")
        # The others have it: sending again would send it twice to them.
        without = f"refused for {', '.join(sorted(errors))}" if errors else ""
        return Sent(is_delivered=True, status=250, error=without[:500])


def make_message(email: Email, sender: str, message_id: str) -> EmailMessage:
    """Build the message; Bcc recipients are in the envelope only."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(email.to)
    if email.cc:
        message["Cc"] = ", ".join(email.cc)
    message["Subject"] = email.subject
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2].strip('> ')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(email.text)
    if email.html:
        message.add_alternative(email.html, subtype="html")
    return message
