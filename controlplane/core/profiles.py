"""Profiles: what is shown of users and service accounts beside their subjects. PURE."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from controlplane.core.callers import Subject

USER, SERVICE_ACCOUNT = "user", "serviceaccount"


@dataclass(frozen=True, slots=True)
class Profile:
    """The name and address that a user or service account has now; "": none."""

    name: str
    email: str = ""


Profiles = Mapping[str, Profile]
"""Profiles by subjects; a person who has left the org is not in it."""
NO_PROFILES: Profiles = {}


def list_ids(subjects: Iterable[str], kind: str) -> list[UUID]:
    """Return the ids of the subjects of a kind; a subject without a valid id has no profile."""
    found = set()
    for subject in subjects:
        prefix, _, text = subject.partition(":")
        if prefix != kind:
            continue
        try:
            found.add(UUID(text))
        except ValueError:
            continue
    return sorted(found)


def subject_of(kind: str, id_: UUID) -> Subject:
    return Subject(f"{kind}:{id_}")
