"""Senders of webhooks and mail, and the check of what this installation never sends to."""

from dataclasses import dataclass

from controlplane.core.errors import InvalidError
from controlplane.core.named_notifications import DeliveryConfig
from controlplane.core.notifications import ENDS, Rule, fields_of, render_url
from controlplane.outbound.mail import Mail
from controlplane.outbound.settings import NotificationSettings
from controlplane.outbound.webhooks import Webhooks
from shared.model.phases import Phase


@dataclass(frozen=True, slots=True)
class Senders:
    """Senders of webhooks and mail; they know what this installation never sends."""

    webhooks: Webhooks
    mail: Mail

    def require(
        self, content: Rule | DeliveryConfig, field: str, phases: frozenset[Phase] = ENDS
    ) -> None:
        """Raise InvalidError for a receiver that this installation never sends to."""
        if content.webhook is not None:
            example = render_url(content.webhook.url, dict.fromkeys(fields_of(phases), "x"))
            self.webhooks.require_address(example, f"{field}.webhook.url")
        if content.email is not None and not self.mail.is_configured:
            raise InvalidError(
                f"{field}.email: this installation sends no mail; use a webhook, or ask its"
                " operator to set VOLARY_SMTP_HOST"
            )


def make_senders(settings: NotificationSettings) -> Senders:
    """Return senders; close their webhooks when they are used no longer."""
    webhooks = Webhooks(allow_http=settings.allow_http, allowed=settings.allowed_networks)
    return Senders(webhooks, Mail(settings))
