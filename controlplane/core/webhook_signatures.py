"""
Signatures of webhooks, in the form of the Standard Webhooks specification (version 1). PURE.

The HMAC-SHA256 is over ``<id>.<seconds since 1970>.<body>``. While a secret is being replaced, the
earlier ones sign as well, so that a receiver that knows either accepts the request.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from controlplane.core.errors import ExhaustedError, InvalidError
from shared.kit.secrets import SecretText

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SECRET_BYTES = 32
DEFAULT_OVERLAP = timedelta(days=1)
MAX_OVERLAP = timedelta(days=30)
MOST_SECRETS = 5
"""Secrets of one delivery configuration that sign at the same time."""

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecret:
    """``whsec_`` and 32 bytes in base64; signs until ``until``, None: until it is replaced."""

    secret: SecretText
    until: datetime | None = None

    @property
    def key(self) -> bytes:
        return base64.b64decode(self.secret.reveal().removeprefix(_PREFIX))


def make_signing_secret(random: bytes) -> SigningSecret:
    """Make a secret of ``SECRET_BYTES`` random bytes."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a signing secret has {SECRET_BYTES} bytes, not {len(random)}")
    return SigningSecret(secret=SecretText(_PREFIX + base64.b64encode(random).decode()))


def replace_secret(
    secrets: Sequence[SigningSecret], new: SigningSecret, *, now: datetime, overlap: timedelta
) -> Sequence[SigningSecret]:
    """
    Return the secrets with ``new`` as the first; earlier ones sign for ``overlap`` at most.

    InvalidError for an overlap that is out of bounds; ExhaustedError when too many still sign.
    """
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise InvalidError(f"overlap: must be between 0 and {MAX_OVERLAP.days} days")
    end = now + overlap
    earlier = [
        SigningSecret(secret=each.secret, until=end if each.until is None else min(end, each.until))
        for each in secrets
    ]
    kept = [each for each in earlier if each.until is not None and each.until > now]
    if len(kept) >= MOST_SECRETS:
        raise ExhaustedError(
            f"{len(kept)} signing secrets still sign, which is the most; wait until the first ends"
            f" ({min(each.until for each in kept if each.until):%Y-%m-%d %H:%M} UTC), or give an"
            " overlap of 0, which ends them at once"
        )
    return [new, *kept]


def list_signing(secrets: Sequence[SigningSecret], now: datetime) -> Sequence[SigningSecret]:
    """Return those that sign now, the newest first."""
    return [each for each in secrets if each.until is None or each.until > now]


def sign(
    secrets: Sequence[SigningSecret], message_id: str, body: bytes, now: datetime
) -> Mapping[str, str]:
    """Return the headers that identify and sign a request; without secrets it is not signed."""
    seconds = int(now.timestamp())
    headers = {ID: message_id, TIMESTAMP: str(seconds)}
    content = f"{message_id}.{seconds}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(each.key, content, sha256)).decode()
        for each in list_signing(secrets, now)
    ]
    return headers | ({SIGNATURE: " ".join(signatures)} if signatures else {})
