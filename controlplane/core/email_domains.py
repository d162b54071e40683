"""Claims of e-mail domains: the DNS record that proves one, and when it is looked up again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

RECORD_PREFIX = "_volary-challenge"
VALUE_PREFIX = "volary-domain-verification="

CHECKED_EVERY = timedelta(days=1)
"""How often the record of a proven domain is looked up again."""
CHECKED_AGAIN = timedelta(hours=1)
"""How often, while it is missing or no resolver answers."""
MISSING_FOR = timedelta(days=3)
"""How long the record may be missing before the domain's users cannot join any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainClaim:
    """
    An org's claim to an e-mail domain.

    From ``proven_at`` on the domain's users may join with ``role``, as long as the record is there;
    ``missing_since``: when it was first not found, of a proven domain.
    """

    domain: str
    role: str
    challenge: str
    created_by: str
    created_at: datetime
    checked_at: datetime | None = None
    proven_at: datetime | None = None
    missing_since: datetime | None = None

    @property
    def record_name(self) -> str:
        return f"{RECORD_PREFIX}.{self.domain}"

    @property
    def record_value(self) -> str:
        return f"{VALUE_PREFIX}{self.challenge}"

    @property
    def instruction(self) -> str:
        """The sentence that says which record to set."""
        return f'set a TXT record {self.record_name} with the value "{self.record_value}"'


def explain_missing(claim: DomainClaim, found: int) -> str:
    """Return why a look-up that found this many other texts does not prove the claim."""
    there = f"{found} other TXT records" if found else "no TXT record"
    return (
        f"there is {there} at {claim.record_name}: {claim.instruction}, wait until it is published,"
        " and try again"
    )


def next_check(claim: DomainClaim, now: datetime, *, is_found: bool) -> datetime:
    """Return when a proven claim is looked up again."""
    return now + (CHECKED_EVERY if is_found and claim.missing_since is None else CHECKED_AGAIN)
