"""
Mount a task's secrets: references to Kubernetes Secrets, never a value.

A secret without a group is a key of the attempt's own Secret, which holds the values that the
control plane keeps, or of the Secret ``volary-secrets`` in the task's namespace.
``Secret(group="db", key="PASSWORD")`` is the data key ``PASSWORD`` of the Secret ``db`` there.
As a file it is ``/etc/flyte/secrets/<group>/<key>``, in lower case and as the key is spelt.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyteidl2.core import security_pb2

from dataplane.agent.kube.names import MAX_SUBDOMAIN, is_subdomain
from dataplane.agent.runtimes.secrets import DIRECTORY, SecretRequest, read_requests
from dataplane.agent.runtimes.tasks import BadSpecError

__all__ = ["DIRECTORY"]

DEFAULT_SECRET = "volary-secrets"  # noqa: S105 - the name of an object
VOLUME = "volary-secrets"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """Location of a value: a Secret of the task's namespace, and a key of its data."""

    secret: str
    key: str


Located = Mapping[str, SecretKey]
"""Values that are elsewhere than in ``volary-secrets``, by the key that a task names."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """One secret: where its value is, and the variable or files in which the task reads it."""

    at: SecretKey
    request: SecretRequest


def read_secrets(
    secrets: Iterable[security_pb2.Secret], located: Located
) -> Sequence[DesiredState]:
    """Return the location of each secret; BadSpecError if two of them collide."""
    groups: dict[str, str] = {}
    desired = []
    for request in read_requests(secrets):
        if not request.group:
            at = located.get(request.key) or SecretKey(DEFAULT_SECRET, request.key)
            desired.append(DesiredState(at, request))
            continue
        name = object_name(request.group)
        if groups.setdefault(name, request.group) != request.group:
            raise BadSpecError(
                f"the groups {groups[name]!r} and {request.group!r} map to the same Secret"
                f" {name}; rename one of them"
            )
        desired.append(DesiredState(SecretKey(name, request.key), request))
    return desired


def as_variables(desired: Iterable[DesiredState]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.request.variable,
            "valueFrom": {"secretKeyRef": {"name": each.at.secret, "key": each.at.key}},
        }
        for each in desired
        if each.request.variable
    ]


def as_volume(desired: Sequence[DesiredState]) -> dict[str, Any] | None:
    """Return one volume with all secret files; None if there is no file."""
    by_secret: dict[str, list[dict[str, str]]] = {}
    for path, at in {path: each.at for each in desired for path in each.request.paths}.items():
        by_secret.setdefault(at.secret, []).append({"key": at.key, "path": path})
    sources = [{"secret": {"name": name, "items": items}} for name, items in by_secret.items()]
    return {"name": VOLUME, "projected": {"sources": sources}} if sources else None


def object_name(group: str) -> str:
    """Return the Secret's name for a group: "My_Team" becomes ``my-team``."""
    name = re.sub(r"[^a-z0-9.-]+", "-", group.lower()).strip("-.")
    if not is_subdomain(name):
        raise BadSpecError(
            f"the secret's group {group[:80]!r} makes no valid name of a Kubernetes Secret; use letters,"
            f" digits, '-' and '.', at most {MAX_SUBDOMAIN} of them"
        )
    return name
