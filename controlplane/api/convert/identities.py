"""Who did it, as flyteidl2 shows people."""

from flyteidl2.common.identifier_pb2 import UserIdentifier
from flyteidl2.common.identity_pb2 import EnrichedIdentity, User


def render_identity(subject: str) -> EnrichedIdentity | None:
    """Render who did something; None, an unset field, when nobody is known to have."""
    if not subject:
        return None
    return EnrichedIdentity(user=User(id=UserIdentifier(subject=subject)))
