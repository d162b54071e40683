"""Access tokens of attempts, for which the agent exchanges their leases at the control plane."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.kit.secrets import SecretText
from shared.model.ids import AttemptId, LeaseId


class TokenUnavailableError(Exception):
    """The control plane does not answer now; the same exchange may succeed later."""


class AttemptNotRunningError(Exception):
    """The control plane has no running attempt with this lease on this cluster."""


@dataclass(frozen=True, slots=True)
class AttemptToken:
    """
    A token of an attempt.

    ``renew_at``: when to exchange the lease again, long before ``expires_at``.
    """

    text: SecretText = field(repr=False)
    renew_at: datetime
    expires_at: datetime


class FindToken(Protocol):
    async def __call__(self, attempt: AttemptId, lease: LeaseId) -> AttemptToken | None:
        """
        Return the attempt's current token; None if the control plane has no logins.

        AttemptNotRunningError, TokenUnavailableError.
        """
        ...
