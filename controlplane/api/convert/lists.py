"""Parses limit, page token, filters and order of lists: as messages, and as projects' strings."""

from collections.abc import Iterable, Iterator, Sequence

from flyteidl2.common.list_pb2 import Filter as FilterMessage, ListRequest, Sort

from controlplane.api.convert.strings import parse_text
from controlplane.core import filter_text
from controlplane.core.errors import InvalidError
from controlplane.core.lists import DEFAULT_LIMIT, MAX_LIMIT, Filter, Listing, Order, Test

_TESTS = {
    FilterMessage.EQUAL: Test.EQUAL,
    FilterMessage.NOT_EQUAL: Test.NOT_EQUAL,
    FilterMessage.GREATER_THAN: Test.GREATER,
    FilterMessage.GREATER_THAN_OR_EQUAL: Test.GREATER_OR_EQUAL,
    FilterMessage.LESS_THAN: Test.LESS,
    FilterMessage.LESS_THAN_OR_EQUAL: Test.LESS_OR_EQUAL,
    FilterMessage.CONTAINS: Test.CONTAINS,
    FilterMessage.CONTAINS_CASE_INSENSITIVE: Test.CONTAINS_CASE_INSENSITIVE,
    FilterMessage.VALUE_IN: Test.IN,
    FilterMessage.VALUE_NOT_IN: Test.NOT_IN,
    FilterMessage.ENDS_WITH: Test.ENDS_WITH,
    FilterMessage.NOT_ENDS_WITH: Test.NOT_ENDS_WITH,
    FilterMessage.EXISTS: Test.EXISTS,
    FilterMessage.NOT_EXISTS: Test.NOT_EXISTS,
}
_FUNCTIONS = {test: function for function, test in _TESTS.items()}
_MAX_TOKEN = 16 * 1024


def parse_listing(message: ListRequest) -> Listing:
    """Parse limit, page token, filters and order; InvalidError for an unknown field or function."""
    if message.raw_filters:
        raise InvalidError("raw_filters: not supported; use filters")
    orders: Sequence[Sort] = message.sort_by_fields
    if not orders and message.sort_by.key:
        orders = [message.sort_by]
    return Listing(
        filters=parse_filters(message.filters),
        orders=[parse_order(order) for order in orders],
        limit=parse_limit(message.limit),
        token=parse_token(message.token),
    )


def parse_token(token: str) -> str:
    """Parse a page token, which holds sort values of the last row of the previous page."""
    return parse_text(token, "token", most=_MAX_TOKEN)


def parse_limit(limit: int) -> int:
    if limit > MAX_LIMIT:
        raise InvalidError(f"limit: must be at most {MAX_LIMIT}, not {limit}")
    return limit or DEFAULT_LIMIT


def parse_order(message: Sort) -> Order:
    return Order(
        parse_text(message.key, "sort_by.key"), ascending=message.direction == Sort.ASCENDING
    )


def parse_filters(messages: Iterable[FilterMessage]) -> Sequence[Filter]:
    return [_parse_filter(message) for message in messages]


def _parse_filter(message: FilterMessage) -> Filter:
    test = _TESTS.get(message.function)
    if test is None:
        raise InvalidError(f"filters.function: {message.function} is not known")
    field = parse_text(message.field, "filters.field")
    values = [parse_text(value, f"filters.{field}") for value in message.values]
    if test is Test.EQUAL and field == "phase" and len(values) > 1:
        # The SDK sends the list as one string, which makes ["1", "0"] of phase 10.
        values = ["".join(values)]
    return Filter(field, test, values)


def parse_string_filters(given: str) -> Sequence[Filter]:
    """Parse ``eq(state,0)+contains(name,x)+value_in(id,a;b)``, as lists of projects send it."""
    return filter_text.parse_filters(parse_text(given, "filters", most=filter_text.MAX_TEXT))


def render_filters(filters: Iterable[Filter]) -> Iterator[FilterMessage]:
    """Yield the messages of filters."""
    for each in filters:
        yield FilterMessage(function=_FUNCTIONS[each.test], field=each.field, values=each.values)
