"""Secrets: names, scopes, types, values that are accepted, and presence on clusters."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from controlplane.core import scopes
from controlplane.core.errors import InvalidError
from shared.kit.secrets import SecretBytes
from shared.model.ids import ClusterName, OrgName
from shared.model.secrets import MAX_VALUE_BYTES, SecretName

MAX_SECRETS = 10_000
"""Most secrets of one org."""
MAX_NAME = 253
"""A key of a Kubernetes Secret has at most this many characters."""

_NAME = re.compile(r"[-a-zA-Z0-9_]+")


class SecretType(IntEnum):
    """Types of secrets, with flyteidl2's numbers; UNKNOWN has none there."""

    UNKNOWN = -1  # read from a row that a later release wrote
    GENERIC = 0
    IMAGE_PULL = 1


class OverallStatus(IntEnum):
    """Presence of a secret on all connected clusters, with flyteidl2's numbers."""

    PARTIALLY_PRESENT = 1
    FULLY_PRESENT = 2
    UNKNOWN = 3  # no cluster is connected


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterKey:
    """A cluster's public key for secrets; ``public_key`` is b"" until its agent announces one."""

    cluster: ClusterName
    public_key: bytes
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRow:
    """A stored secret without its value."""

    name: SecretName
    type: SecretType
    version: int
    keyring: str  # name of the key that opens the envelope; CLUSTERS: those of recipients
    recipients: Sequence[str] = ()  # names of the clusters' keys that open the envelope
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRow:
    """A stored secret with its envelope."""

    row: SecretRow
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretStatus:
    """A secret, and whether each connected cluster can be given its value."""

    row: SecretRow
    clusters: Sequence[tuple[ClusterName, bool]]

    @property
    def overall(self) -> OverallStatus:
        if not self.clusters:
            return OverallStatus.UNKNOWN
        if all(present for _, present in self.clusters):
            return OverallStatus.FULLY_PRESENT
        return OverallStatus.PARTIALLY_PRESENT


@dataclass(frozen=True, slots=True)
class SecretPage:
    """One page of secrets, and the token of the next page ("" at the end)."""

    rows: Sequence[SecretStatus]
    token: str


CLUSTERS = "clusters"
"""Keyring of envelopes that only clusters open."""


def parse_secret_name(org: OrgName, *, project: str, domain: str, name: str) -> SecretName:
    """Validate a secret's name and scope; InvalidError."""
    if not _NAME.fullmatch(name):
        raise InvalidError(
            "id.name: a secret's name consists of letters, digits, dashes and underscores"
        )
    if len(name) > MAX_NAME:
        raise InvalidError(f"id.name: must be at most {MAX_NAME} characters, not {len(name)}")
    parse_scope(project, domain)
    return SecretName(org=org, project=project, domain=domain, name=name)


def parse_scope(project: str, domain: str) -> None:
    """Validate a scope: the org (both ""), a domain, or a project in a domain; InvalidError."""
    scopes.parse_scope(domain, project, field="id", what="a secret")


def require_value(name: SecretName, kind: SecretType, value: SecretBytes) -> None:
    """Raise InvalidError unless a secret of this name and type may have this value."""
    raw = value.reveal()
    if not raw:
        raise InvalidError(f"secret_spec: the value of secret {name.name} is empty")
    if len(raw) > MAX_VALUE_BYTES:
        raise InvalidError(
            f"secret_spec: the value of secret {name.name} has {len(raw)} bytes; at most "
            f"{MAX_VALUE_BYTES} fit into a Kubernetes Secret"
        )
    if kind is not SecretType.IMAGE_PULL:
        return
    if name.domain:
        raise InvalidError(
            "id.domain: an image pull secret belongs to the org; leave out project and domain"
        )
    if not _is_docker_config(raw):
        raise InvalidError(
            f"secret_spec: the value of image pull secret {name.name} is not a dockerconfigjson; "
            'give {"auths": {"<registry>": {"auth": "<base64 of user:password>"}}}'
        )


def is_present(row: SecretRow, key: ClusterKey, key_name: str) -> bool:
    """Return whether a cluster can be given the value; ``key_name`` is the name of its key."""
    if not key.public_key:
        return False
    return row.keyring != CLUSTERS or key_name in row.recipients


def find_first(candidates: Sequence[SecretName], found: Collection[SealedRow]) -> SealedRow | None:
    """Return the stored secret of the narrowest scope; None if there is none."""
    by_name = {each.row.name: each for each in found}
    return next((by_name[name] for name in candidates if name in by_name), None)


def _is_docker_config(raw: bytes) -> bool:
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    auths = config.get("auths") if isinstance(config, dict) else None
    return (
        isinstance(auths, dict)
        and bool(auths)
        and all(isinstance(each, dict) for each in auths.values())
    )
