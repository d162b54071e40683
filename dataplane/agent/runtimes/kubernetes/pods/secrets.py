"""
Mount a task's secrets: references to Kubernetes Secrets, never a value.

``Secret(group="db", key="PASSWORD")`` is the data key ``PASSWORD`` of the Secret ``db`` in the
task's namespace; without a group the Secret is ``volary-secrets``. As a file it is
``/etc/flyte/secrets/<group>/<key, lower case>``.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flyteidl2.core import security_pb2

from dataplane.agent.kube.names import MAX_SUBDOMAIN, is_subdomain
from dataplane.agent.runtimes.tasks import BadSpecError

DIRECTORY = "/etc/flyte/secrets"
DEFAULT_SECRET = "volary-secrets"  # noqa: S105 - the name of an object
VOLUME = "volary-secrets"

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """One secret: the object and key that hold it, and the variable or file the task reads."""

    secret: str
    key: str
    variable: str = ""
    path: str = ""  # below DIRECTORY


def read_secrets(secrets: Iterable[security_pb2.Secret]) -> list[DesiredState]:
    """Return the location of each secret; BadSpecError if two of them collide."""
    groups: dict[str, str] = {}
    by_variable: dict[str, DesiredState] = {}
    desired = []
    for secret in secrets:
        each = _read(secret)
        group = secret.group or DEFAULT_SECRET
        if groups.setdefault(each.secret, group) != group:
            raise BadSpecError(
                f"the groups {groups[each.secret]!r} and {group!r} map to the same Secret"
                f" {each.secret}; rename one of them"
            )
        if each.variable and by_variable.setdefault(each.variable, each) != each:
            raise BadSpecError(
                f"two secrets set the same variable {each.variable}; give one of them another"
                " name with as_env_var"
            )
        desired.append(each)
    return desired


def as_variables(desired: Iterable[DesiredState]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.variable,
            "valueFrom": {"secretKeyRef": {"name": each.secret, "key": each.key}},
        }
        for each in desired
        if each.variable
    ]


def as_volume(desired: Sequence[DesiredState]) -> dict[str, Any] | None:
    """Return one volume with all secret files; None if there is no file."""
    by_path: dict[str, DesiredState] = {}
    for each in desired:
        if each.path and by_path.setdefault(each.path, each) != each:
            raise BadSpecError(
                f"two secrets are the same file {DIRECTORY}/{each.path}: keys are files in lower case;"
                " give one of them another group, or take it as a variable"
            )
    by_secret: dict[str, list[dict[str, str]]] = {}
    for path, each in by_path.items():
        by_secret.setdefault(each.secret, []).append({"key": each.key, "path": path})
    sources = [{"secret": {"name": name, "items": items}} for name, items in by_secret.items()]
    return {"name": VOLUME, "projected": {"sources": sources}} if sources else None


def _read(secret: security_pb2.Secret) -> DesiredState:
    name = object_name(secret.group) if secret.group else DEFAULT_SECRET
    if _KEY.fullmatch(secret.key) is None or secret.key in {".", ".."}:
        raise BadSpecError(
            f"the secret's key {secret.key!r} is not a valid key of a Kubernetes Secret; use letters,"
            " digits, '-', '_' and '.'"
        )
    if secret.mount_requirement == security_pb2.Secret.FILE:
        path = "/".join(filter(None, [secret.group, secret.key.lower()]))
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise BadSpecError(f"the secret's group {secret.group!r} leads outside of {DIRECTORY}")
        return DesiredState(secret=name, key=secret.key, path=path)
    usual = "_".join(filter(None, [secret.group, secret.key])).upper()
    variable = secret.env_var or re.sub(r"[^A-Z0-9_]", "_", usual)
    if _VARIABLE.fullmatch(variable) is None:
        raise BadSpecError(
            f"the secret {secret.key!r} cannot be the variable {variable!r};"
            " choose a name with as_env_var"
        )
    return DesiredState(secret=name, key=secret.key, variable=variable)


def object_name(group: str) -> str:
    """Return the Secret's name for a group: "My_Team" becomes ``my-team``."""
    name = re.sub(r"[^a-z0-9.-]+", "-", group.lower()).strip("-.")
    if not is_subdomain(name):
        raise BadSpecError(
            f"the secret's group {group[:80]!r} makes no valid name of a Kubernetes Secret; use letters,"
            f" digits, '-' and '.', at most {MAX_SUBDOMAIN} of them"
        )
    return name
