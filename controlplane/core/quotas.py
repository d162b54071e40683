"""Quotas: what the runs and callers of an org, or of one of its projects, may use."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from controlplane.core.errors import InvalidError, QuotaExceededError
from shared.model.ids import OrgName


class Limit(StrEnum):
    """Limits of a quota; 0 is none."""

    ACTIONS_PER_DAY = "actions_per_day"
    TRIGGERS = "triggers"
    REQUESTS_PER_SECOND = "requests_per_second"


LARGEST: Mapping[Limit, int] = {
    Limit.ACTIONS_PER_DAY: 10**12,
    Limit.TRIGGERS: 1_000_000,
    Limit.REQUESTS_PER_SECOND: 100_000,
}
"""Largest values that may be set."""

_NAMES: Mapping[Limit, str] = {
    Limit.ACTIONS_PER_DAY: "actions per day",
    Limit.TRIGGERS: "triggers",
    Limit.REQUESTS_PER_SECOND: "API requests per second",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Limits of the org (project "") or of a project; 0 is no limit."""

    project: str = ""
    actions_per_day: int = 0
    triggers: int = 0
    requests_per_second: int = 0
    version: int = 0

    def get(self, limit: Limit) -> int:
        return int(getattr(self, limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStatus:
    """A quota with the use now."""

    quota: Quota
    actions_today: int = 0
    triggers: int = 0


@dataclass(frozen=True, slots=True)
class QuotaUsedUp:
    """A quota of actions per day that allows no more of them today; project "" is the org."""

    project: str
    limit: int
    used: int

    def error(self, org: OrgName, now: datetime) -> QuotaExceededError:
        """Return the error for what it refuses."""
        return exceeded(
            Limit.ACTIONS_PER_DAY,
            describe_place(org, self.project),
            self.limit,
            self.used,
            retry_after=until_midnight(now),
        )


def change_quota(quota: Quota, changes: Mapping[Limit, int], of_org: Quota) -> Quota:
    """Return the changed quota; InvalidError for a limit that cannot be, or is over the org's."""
    for limit, value in changes.items():
        if not 0 <= value <= LARGEST[limit]:
            raise InvalidError(
                f"{limit}: must be from 0 (no limit) to {LARGEST[limit]}, is {value}"
            )
        if not quota.project:
            continue
        if limit is Limit.REQUESTS_PER_SECOND and value:
            raise InvalidError(
                f"{limit}: is a limit of the org only, because a call need not name a project"
            )
        most = of_org.get(limit)
        if most and value > most:
            raise InvalidError(
                f"{limit}: {value} is over the org's limit, {most}; set at most that, or have the"
                " operator raise it"
            )
    changed: dict[str, Any] = {str(limit): value for limit, value in changes.items()}
    return replace(quota, **changed)


def describe_place(org: OrgName, project: str) -> str:
    return f"project {project}" if project else f"org {org}"


def exceeded(
    limit: Limit, place: str, value: int, used: int, *, retry_after: timedelta | None = None
) -> QuotaExceededError:
    """Return the error for a call that a quota refuses."""
    frees = {
        Limit.ACTIONS_PER_DAY: "it frees at 00:00 UTC",
        Limit.TRIGGERS: "it frees when a trigger is deleted",
        Limit.REQUESTS_PER_SECOND: "it frees in "
        f"{max(1, round((retry_after or timedelta()).total_seconds() * 1000))} ms",
    }[limit]
    return QuotaExceededError(
        f"the quota of {_NAMES[limit]} of {place} is used up: {used} of {value}; {frees}, or"
        " when the limit is raised (`volary quota show`)",
        retry_after=retry_after,
    )


def until_midnight(now: datetime) -> timedelta:
    """Return how long the day, in UTC, lasts."""
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), UTC) - now
