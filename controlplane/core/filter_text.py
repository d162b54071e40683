"""
Parses filters that are written as text: ``eq(phase,FAILED)+value_in(name,a;b)``.

Filters are joined by AND; a ``+`` or spaces separate them. A value may hold any character but
parentheses; ``%28 %29 %2B %2C %3B %25`` stand for ``( ) + , ; %`` in it. Any other ``%`` is itself.
Only ``value_in`` takes several values, separated by ``;``.
"""

import re
from collections.abc import Sequence

from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Test

FUNCTIONS = {
    "eq": Test.EQUAL,
    "ne": Test.NOT_EQUAL,
    "gt": Test.GREATER,
    "gte": Test.GREATER_OR_EQUAL,
    "lt": Test.LESS,
    "lte": Test.LESS_OR_EQUAL,
    "contains": Test.CONTAINS,
    "value_in": Test.IN,
}
MAX_TEXT = 8192  # characters

_FILTER = re.compile(r"(\w+)\(\s*([^\s(),]+)\s*,([^()]*)\)")
_ESCAPE = re.compile("%(28|29|2B|2C|3B|25)", re.IGNORECASE)
_MAX_QUOTED = 60  # characters of a filter in an error message


def parse_filters(text: str) -> Sequence[Filter]:
    """Parse filters; InvalidError names the first part that is not a filter, and its position."""
    if len(text) > MAX_TEXT:
        raise InvalidError(f"filters: must be at most {MAX_TEXT} characters, not {len(text)}")
    found: list[Filter] = []
    end, position = -1, _skip(text, 0)  # a separator lies between the two
    while position < len(text):
        matched = _FILTER.match(text, position) if position > end else None
        if matched is None:
            raise InvalidError(
                f"filters: {text[position : position + _MAX_QUOTED]!r} at character {position + 1}"
                " is not a filter; write eq(state,0), joined by +, and %28 %29 for parentheses in"
                f" a value; the functions are {', '.join(FUNCTIONS)}"
            )
        found.append(_parse(matched))
        end = matched.end()
        position = _skip(text, end)
    return found


def _skip(text: str, position: int) -> int:
    """Return the position after separators."""
    while position < len(text) and (text[position] == "+" or text[position].isspace()):
        position += 1
    return position


def _parse(matched: re.Match[str]) -> Filter:
    function, field, value = matched.groups()
    test = FUNCTIONS.get(function.lower())
    if test is None:
        raise InvalidError(
            f"filters: the function {function!r} is not known; there are {', '.join(FUNCTIONS)}"
        )
    values = value.split(";") if test is Test.IN else [value]
    return Filter(field, test, [_unescape(each.strip()) for each in values])


def _unescape(value: str) -> str:
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), value)
