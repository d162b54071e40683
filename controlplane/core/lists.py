"""
What a list is asked for: filters, order and page, checked before any SQL is made.

Names and limits are the Flyte reference's: 50 rows unless asked, 200 at most, filters
joined by AND, unknown fields refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controlplane.core.actions import ActionRow

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class Test(StrEnum):
    """How a field is compared with the values given."""

    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    GREATER = "greater"
    GREATER_OR_EQUAL = "greater_or_equal"
    LESS = "less"
    LESS_OR_EQUAL = "less_or_equal"
    CONTAINS = "contains"
    CONTAINS_CASE_INSENSITIVE = "contains_case_insensitive"
    IN = "in"
    NOT_IN = "not_in"
    ENDS_WITH = "ends_with"
    NOT_ENDS_WITH = "not_ends_with"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"


@dataclass(frozen=True, slots=True)
class Filter:
    field: str
    test: Test
    values: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Order:
    field: str
    ascending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a list: ``token`` is what the page before ended with."""

    filters: Sequence[Filter] = ()
    orders: Sequence[Order] = ()
    limit: int = DEFAULT_LIMIT
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """Which runs: of a project and domain, of a task, of one version of it."""

    project: str = ""
    domain: str = ""
    task_name: str = ""
    task_version: str = ""
    trigger_name: str = ""
    paused_only: bool = False

    def takes(self, root: ActionRow) -> bool:
        """Whether a run belongs here, by what its root action shows."""
        if self.trigger_name:
            return False  # no trigger has made a run yet
        run, info = root.key.run, root.info
        return all(
            not wanted or wanted == there
            for wanted, there in (
                (self.project, run.project),
                (self.domain, run.domain),
                (self.task_name, info.name),
                (self.task_version, info.version),
            )
        )
