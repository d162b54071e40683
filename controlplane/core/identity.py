"""Orgs, users, members, roles, bindings, service accounts, API keys and invitations."""

import re
from base64 import b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType
from urllib.parse import urlsplit
from uuid import UUID

from controlplane.core.callers import Permission, Subject
from controlplane.core.deleted_orgs import Deletion, explain_deletion
from controlplane.core.errors import ConflictError, InvalidError
from controlplane.core.roles import BUILT_IN_ROLES, OWNER
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

UserId = NewType("UserId", UUID)

JOIN_PATH = "/join"
"""Path of the page where an invitation is accepted."""
INVITATION_LIFE = timedelta(days=7)
OWNER_LINK_LIFE = timedelta(minutes=15)
MAX_INVITATION_LIFE = timedelta(days=30)
MAX_MEMBERS = 10_000
MAX_ROLES = 200
MAX_BINDINGS = 10_000
MAX_SERVICE_ACCOUNTS = 1_000
MAX_API_KEYS = 5_000
KEEP_ENDED_KEYS = timedelta(days=7)
"""How long keys are kept at least after they were revoked or ended."""
MAX_KEY_OVERLAP = timedelta(days=30)
MAX_INVITATIONS = 1_000
MAX_EMAIL_DOMAINS = 100

OPERATOR = "operator:"
"""Subjects of commands that go straight to the database begin with it."""

_USER = "user:"
_SERVICE_ACCOUNT = "serviceaccount:"
_API_KEY = "ak-"

_ORG = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ROLE = re.compile(r"[a-z0-9]([-_a-z0-9]{0,61}[a-z0-9])?")
_MAX_TEXT = 256


class PrincipalKind(StrEnum):
    """Kinds of principals that roles are bound to."""

    USER = "user"
    SERVICE_ACCOUNT = "service_account"
    GROUP = "group"  # as the org's identity provider names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    name: OrgName
    display_name: str
    created_by: str
    created_at: datetime
    version: int
    requires_own_provider: bool = False  # of people; API keys and agents have no provider
    deletion: Deletion | None = None

    def admits(self, provider_org: OrgName) -> bool:
        """
        Return whether a person may act in the org who logged in at a provider of ``provider_org``.

        "" is the installation's provider. An owner link counts as the org's own.
        """
        return not self.requires_own_provider or provider_org == self.name


def explain_refusal(name: OrgName, org: Org | None, provider_org: OrgName) -> str:
    """Return why a person may not act in org ``name``, found as ``org``; "" if the org admits them."""
    if org is None:
        return f"org {name} does not exist"
    if org.deletion is not None:
        return explain_deletion(name, org.deletion)
    if not org.admits(provider_org):
        return f"org {name} requires its own identity provider; log in again, with the org's login"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """One of the orgs that a user is a member of; ``role`` is "" without one in the whole org."""

    org: OrgName
    display_name: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person, the same one in all orgs."""

    id: UserId
    email: str
    email_verified: bool
    name: str

    @property
    def subject(self) -> Subject:
        return subject_of_user(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    user: UserId
    role: str  # in the whole org; "": role bindings only
    email: str
    name: str
    source: str
    groups: Sequence[str]
    created_at: datetime
    seen_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A custom role; built-in ones are shown as roles without a version."""

    name: str
    permissions: frozenset[Permission]
    description: str = ""
    version: int = 0

    @property
    def is_built_in(self) -> bool:
        return self.name in BUILT_IN_ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBinding:
    """Request to bind a role to a principal, in the org, a project or a domain of it."""

    kind: PrincipalKind
    principal: str  # a user's or service account's UUID, or a group's name
    role: str
    project: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    id: UUID
    bound: NewBinding
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """An identity of machines; its API keys log in, its bindings grant."""

    id: UUID
    name: str
    description: str
    created_by: str
    created_at: datetime
    disabled_at: datetime | None
    version: int

    @property
    def subject(self) -> Subject:
        return subject_of_account(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    id: UUID
    account: UUID
    name: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def client_id(self) -> str:
        """The client id of the key at the token endpoint."""
        return f"{_API_KEY}{self.id.hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey:
    """A key; ``secret`` is None when the request is a repeated one: it is shown only once."""

    key: ApiKey
    secret: SecretText | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvitation:
    """Request to invite a person; ``email``: the only verified address that may use the link."""

    role: str
    email: str = ""
    project: str = ""
    domain: str = ""
    life: timedelta = INVITATION_LIFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    id: UUID
    role: str
    email: str
    project: str
    domain: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_by: UserId | None

    @property
    def is_owner_link(self) -> bool:
        """Whether an operator created it for an owner: it needs no identity provider."""
        return self.role == OWNER and not self.project and self.created_by.startswith(OPERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedInvitation:
    """An invitation with its token, which is shown once; None for a repeated request."""

    invitation: Invitation
    token: SecretText | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A person's session in an org: of a program (``client_id``), or of a browser."""

    id: UUID
    user: UserId | None
    client_id: str
    browser: str
    peer: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailDomain:
    """Users with a verified address in ``domain`` may join with ``role``."""

    domain: str
    role: str
    created_by: str
    created_at: datetime


def link_to_join(public_url: str, token: SecretText) -> str:
    """Return the link of an invitation: to the page where it is accepted."""
    return f"{public_url.rstrip('/')}{JOIN_PATH}?invitation={token.reveal()}"


def encode_api_key(public_url: str, client_id: str, secret: SecretText, org: OrgName) -> SecretText:
    """Return an API key as the SDK takes it; it connects to port 443 of the host."""
    host = urlsplit(public_url).hostname or ""
    parts = f"{host}:{client_id}:{secret.reveal()}:{org}"
    return SecretText(b64encode(parts.encode()).decode())


def subject_of_user(user: UUID) -> Subject:
    return Subject(f"{_USER}{user}")


def subject_of_account(account: UUID) -> Subject:
    return Subject(f"{_SERVICE_ACCOUNT}{account}")


def find_user_id(subject: Subject) -> UserId | None:
    """Return the user that a subject names; None if it is no user."""
    found = _parse_uuid(subject, _USER)
    return None if found is None else UserId(found)


def find_account_id(subject: Subject) -> UUID | None:
    """Return the service account that a subject names; None if it is none."""
    return _parse_uuid(subject, _SERVICE_ACCOUNT)


def find_api_key_id(client_id: str) -> UUID | None:
    """Return the id of the API key with this client id; None if it is not a key's."""
    return _parse_uuid(client_id, _API_KEY)


def parse_org(name: str) -> OrgName:
    """Validate an org's name, which becomes a path and a label: lower-case, at most 63 characters."""
    if not _ORG.fullmatch(name):
        raise InvalidError(
            f"org {name[:80]!r}: use small letters, digits and dashes, at most 63, and begin and "
            "end with a letter or digit"
        )
    return OrgName(name)


def parse_role_name(name: str) -> str:
    """Validate the name of a custom role; the names of built-in roles are taken."""
    if not _ROLE.fullmatch(name):
        raise InvalidError(
            f"role {name[:80]!r}: use small letters, digits, dashes and underscores, at most 63"
        )
    if name in BUILT_IN_ROLES:
        raise InvalidError(f"role {name} is built in and stays as it is; choose another name")
    return name


def parse_permissions(names: Collection[str]) -> frozenset[Permission]:
    """Parse permissions; InvalidError lists the unknown ones."""
    known = {each.value for each in Permission}
    unknown = sorted(set(names) - known)
    if unknown:
        raise InvalidError(
            f"unknown permissions {', '.join(unknown)}; there is {', '.join(sorted(known))}"
        )
    if not names:
        raise InvalidError("a role needs a permission")
    return frozenset(Permission(each) for each in names)


def parse_display(text: str, field: str) -> str:
    """Validate a name or description for people: one line, at most 256 characters."""
    if len(text) > _MAX_TEXT or not text.isprintable():
        raise InvalidError(f"{field}: use at most {_MAX_TEXT} printable characters on one line")
    return text.strip()


def parse_group(name: str) -> str:
    """Validate the name of a group at an identity provider."""
    group = parse_display(name, "group")
    if not group:
        raise InvalidError("group: name it as the identity provider does")
    return group


def parse_life(life: timedelta) -> timedelta:
    """Validate how long an invitation is open."""
    if not timedelta(0) < life <= MAX_INVITATION_LIFE:
        raise InvalidError(f"an invitation lives up to {MAX_INVITATION_LIFE.days} days")
    return life


def require_version(what: str, current: int, asked: int | None) -> None:
    """Raise ConflictError, naming both versions, unless ``asked`` is None or the current one."""
    if asked is not None and asked != current:
        raise ConflictError(
            f"{what} is at version {current}, not {asked}: it was changed meanwhile; read it again"
        )


def _parse_uuid(text: str, prefix: str) -> UUID | None:
    if not text.startswith(prefix):
        return None
    try:
        return UUID(text.removeprefix(prefix))
    except ValueError:
        return None
