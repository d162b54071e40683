"""
List requests: filters, order and page, checked before any SQL is built.

Names and limits are the Flyte reference's: 50 rows by default, 200 at most, filters joined by
AND, unknown fields refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class Test(StrEnum):
    """Comparison operators of filters."""

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
    """Compares one field with values."""

    field: str
    test: Test
    values: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Sorts a list by one field."""

    field: str
    ascending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Request for one page of a list; ``token`` comes from the previous page."""

    filters: Sequence[Filter] = ()
    orders: Sequence[Order] = ()
    limit: int = DEFAULT_LIMIT
    token: str = ""
