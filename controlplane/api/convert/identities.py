"""Renders identities of users and applications as flyteidl2 does."""

from flyteidl2.common.identifier_pb2 import UserIdentifier
from flyteidl2.common.identity_pb2 import EnrichedIdentity, User


def render_identity(subject: str) -> EnrichedIdentity | None:
    """Render the subject of a change; None, an unset field, when the subject is unknown."""
    if not subject:
        return None
    return EnrichedIdentity(user=User(id=UserIdentifier(subject=subject)))
