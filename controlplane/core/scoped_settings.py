"""
Scoped settings: what an org, a domain and a project give to their runs. PURE.

A record holds the settings of one scope. A key that it does not name is inherited from the
scope above; an unset one is cut off from there. Maps are merged entry by entry.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from controlplane.core.errors import InvalidError
from controlplane.core.scopes import Scope, ScopeLevel
from controlplane.core.setting_rules import RULES, Value, require_order

MAX_BYTES = 64 * 1024
"""Most bytes of one scope's settings as JSON; each run of the scope stores them again."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key's value in one scope; ``value`` None: unset, cut off from the scopes above."""

    value: Value | None


Settings = Mapping[str, Setting]
"""Settings of one scope by their dotted keys; those that are not named are inherited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRecord:
    """Settings that one scope stores; version 0: none are stored."""

    scope: Scope
    settings: Settings = field(default_factory=dict)
    version: int = 0
    updated_by: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InForce:
    """A value that applies, and the narrowest level that it is from."""

    value: Value
    level: ScopeLevel


Effective = Mapping[str, InForce]
"""What applies in a scope, by dotted keys; what no scope sets is not in it."""


def resolve(records: Sequence[SettingsRecord]) -> Effective:
    """Return what applies, from the records of a scope and of those above, broadest first."""
    effective: dict[str, InForce] = {}
    for record in records:
        for key, setting in record.settings.items():
            above = effective.pop(key, None)
            value = setting.value
            if value is None:
                continue
            if (
                isinstance(value, Mapping)
                and above is not None
                and isinstance(above.value, Mapping)
            ):
                value = {**above.value, **value}
            effective[key] = InForce(value, record.scope.level)
    return effective


def require_valid(settings: Settings) -> None:
    """Raise InvalidError, naming the key, for a value that no run could be given."""
    size = len(json.dumps({key: each.value for key, each in settings.items()}, default=dict))
    if size > MAX_BYTES:
        raise InvalidError(f"settings: one scope has at most {MAX_BYTES} bytes, not {size}")
    for key, setting in settings.items():
        if setting.value is not None:
            RULES[key](key, setting.value)


def require_consistent(effective: Effective) -> None:
    """Raise InvalidError, naming both keys and levels, for a minimum above its maximum."""
    for resource in ("cpu", "gpu", "memory", "storage"):
        lower, upper = (effective.get(f"task_resource.{end}.{resource}") for end in ("min", "max"))
        if lower is not None and upper is not None:
            require_order(resource, str(lower.value), str(upper.value), name_level(upper))


def name_level(setting: InForce) -> str:
    """Name the level that a value is from, for messages."""
    return setting.level.name.lower()
