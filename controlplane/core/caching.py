"""
Result caching: requests to the cache, entries, and the status of actions in it. PURE.

An entry is the outputs of a succeeded attempt, by org, key, project and domain. The key is the
client's for a child action and ours for a root (``api.convert.cache_keys``); here it is opaque.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum

from controlplane.core.callers import Caller, Permission
from shared.model.ids import ActionKey, DomainName, ProjectName

MOST_SCOPES = 200
"""Projects and domains that a run may take entries from; a creator with more: only its own."""
TOUCH_INTERVAL = timedelta(days=1)
"""A hit records its time at most this often, so that a popular entry is not written by each."""
CLOCK_SKEW = timedelta(minutes=5)
"""Most by which the clocks of two replicas differ, for the order of entries and actions."""


class CacheStatus(IntEnum):
    """The status of an action in the cache, with flyteidl2's numbers (``CatalogCacheStatus``)."""

    DISABLED = 0  # also any value that a later release wrote
    MISS = 1
    HIT = 2
    POPULATED = 3
    LOOKUP_FAILURE = 4
    PUT_FAILURE = 5
    SKIPPED = 6
    EVICTED = 7


STORED_FROM = frozenset({CacheStatus.MISS, CacheStatus.LOOKUP_FAILURE, CacheStatus.SKIPPED})
"""Statuses of an action whose outputs become an entry when it succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRequest:
    """The request of an action to the cache; an action without one is not cached."""

    key: str
    max_age: timedelta | None = None  # zero: entries of any age; None: the task says nothing
    has_outputs: bool = True  # its task declares outputs, so an entry has an outputs file
    serialize: bool = False  # of equal actions one runs at a time

    def oldest(self, now: datetime) -> datetime | None:
        """Return when the oldest entry that may be used was made; None: any."""
        return now - self.max_age if self.max_age else None

    def with_default(self, max_age: timedelta | None) -> "CacheRequest":
        """Return the request with the maximum age of the installation if the task has none."""
        return replace(self, max_age=max_age) if self.max_age is None and max_age else self


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSource:
    """The attempt whose outputs an action has got; it may not exist any more."""

    action: ActionKey
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCheck:
    """Whether the outputs of an entry exist, checked before the transaction that may use it."""

    output_uri: str = ""  # the outputs that exist; "": there was no entry, or it had none
    checked_at: datetime | None = None  # later entries were not checked
    failed: bool = False  # the store did not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """The outputs of an attempt, which later actions with the same key get."""

    source: CacheSource  # without names, if a client of CacheService put it
    output_uri: str
    created_at: datetime
    hit_at: datetime
    task_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlace:
    """The key of one entry: a cache key in a project and domain."""

    project: ProjectName
    domain: DomainName
    key: str

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheResult:
    """The outcome of an action's lookup; only a HIT has an entry."""

    status: CacheStatus
    entry: CacheEntry | None = None


UNCACHED = CacheResult(status=CacheStatus.DISABLED)


def readable_scopes(caller: Caller, *, is_global: bool) -> Collection[str] | None:
    """
    Return where else a run of this caller finds entries: "project/domain", or "project/" for all.

    None: in the whole org. Empty: only in the run's own project and domain.
    """
    if not is_global:
        return ()
    scopes = caller.list_scopes(Permission.BLOB_READ)
    if scopes is None:
        return None
    if len(scopes) > MOST_SCOPES:
        return ()
    return sorted(f"{project}/{domain}" for project, domain in scopes)


def status_of_attempt(status: CacheStatus, *, is_last: bool) -> CacheStatus:
    """Return the status of one attempt of an action: only the last one may store its outputs."""
    if status is CacheStatus.POPULATED and not is_last:
        return CacheStatus.MISS
    return status
