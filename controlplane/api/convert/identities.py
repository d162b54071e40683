"""Renders identities of users and applications as flyteidl2 does."""

from flyteidl2.common.identifier_pb2 import ApplicationIdentifier, UserIdentifier
from flyteidl2.common.identity_pb2 import Application, AppSpec, EnrichedIdentity, User, UserSpec

from controlplane.core.profiles import NO_PROFILES, Profiles

_PROGRAMS = ("serviceaccount:", "attempt:", "agent:")


def render_identity(subject: str, profiles: Profiles = NO_PROFILES) -> EnrichedIdentity | None:
    """
    Render the subject of a change; None, an unset field, when the subject is unknown.

    A service account, a task and an agent are applications, all others are users. Only a subject
    that has a profile has a ``spec``; a person has one name, which is the first one there.
    """
    if not subject:
        return None
    profile = profiles.get(subject)
    if subject.startswith(_PROGRAMS):
        application = Application(id=ApplicationIdentifier(subject=subject))
        if profile is not None:
            application.spec.CopyFrom(AppSpec(name=profile.name))
        return EnrichedIdentity(application=application)
    user = User(id=UserIdentifier(subject=subject))
    if profile is not None:
        user.spec.CopyFrom(UserSpec(first_name=profile.name, email=profile.email))
    return EnrichedIdentity(user=user)
