"""Builds an RPC's message from the path, the query and the body of an HTTP request."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from flyteidl2.common.list_pb2 import ListRequest, Sort
from google.protobuf.message import Message

from controlplane.api.convert.lists import render_filters
from controlplane.api.resources.routes import Listed, Route
from controlplane.core import filter_text
from controlplane.core.errors import InvalidError
from controlplane.core.lists import DEFAULT_LIMIT, MAX_LIMIT, Filter, Test
from controlplane.core.page_tokens import bind_token, open_token

_LIST_PARAMETERS = ("filters", "sort_by.key", "sort_by.direction", "limit", "token")
_DIRECTIONS = {"ASCENDING": Sort.ASCENDING, "DESCENDING": Sort.DESCENDING}
_MAX_QUOTED = 100  # characters of a parameter in an error message


def build_request(
    route: Route, message: Message, values: Mapping[str, str], query: Mapping[str, str]
) -> None:
    """Fill ``message`` from the parameters of the path and of the query; InvalidError."""
    for name, path in route.fills.items():
        _set(message, path, values[name])
    if route.listed is not None:
        _fill_list(route.listed, message, query, list_question(route, values, query))


def list_parameters(route: Route) -> list[str]:
    """Return the names of the query parameters that a route takes."""
    return [] if route.listed is None else [*_LIST_PARAMETERS, *route.listed.equals]


def parse_query(raw: bytes, known: list[str]) -> Mapping[str, str]:
    """
    Parse a query string; InvalidError for a parameter that is unknown or sent twice.

    In ``filters`` a ``+`` separates filters, and is the sign of a time zone's offset; anywhere else
    it is a space.
    """
    found: dict[str, str] = {}
    for part in raw.split(b"&"):
        if not part:
            continue
        raw_name, _, raw_value = part.partition(b"=")
        name = _decode(raw_name, "the query")
        if name not in known:
            there_are = f"there are {', '.join(known)}" if known else "there are none here"
            raise InvalidError(
                f"the query parameter {name[:_MAX_QUOTED]!r} is unknown; {there_are}"
            )
        if name in found:
            raise InvalidError(f"{name}: is given twice")
        if name != "filters":
            raw_value = raw_value.replace(b"+", b" ")
        found[name] = _decode(raw_value, name)
    return found


def list_question(route: Route, values: Mapping[str, str], query: Mapping[str, str]) -> list[str]:
    """Return what a page token belongs to: the list, its filters and its order."""
    asked = [f"{name}={value}" for name, value in sorted(query.items()) if name not in _OF_A_PAGE]
    return [route.rpc, *(values[name] for name in route.fills), *asked]


def bind_page(
    route: Route, answer: Any, values: Mapping[str, str], query: Mapping[str, str]
) -> None:
    """Bind the token of a list's answer to the question."""
    if route.listed is not None:
        answer.token = bind_token(answer.token, list_question(route, values, query))


_OF_A_PAGE = frozenset({"limit", "token"})


def _fill_list(listed: Listed, message: Any, query: Mapping[str, str], question: list[str]) -> None:
    into = message if listed.is_text else message.request
    into.limit = _parse_limit(query)
    into.token = open_token(query.get("token", ""), question)
    _fill_order(listed, into, query)
    if listed.is_text:
        into.filters = query.get("filters", "")
    else:
        _fill_filters(listed, into, query)


def _fill_filters(listed: Listed, into: ListRequest, query: Mapping[str, str]) -> None:
    asked = [listed.fields.translate(each) for each in _parse_filters(query)]
    asked += [
        Filter(field, Test.EQUAL, [query[name]])
        for name, field in listed.equals.items()
        if name in query
    ]
    into.filters.extend(render_filters(asked))


def _parse_filters(query: Mapping[str, str]) -> list[Filter]:
    return list(filter_text.parse_filters(query.get("filters", "")))


def _fill_order(listed: Listed, into: Any, query: Mapping[str, str]) -> None:
    key, direction = query.get("sort_by.key", ""), query.get("sort_by.direction", "")
    if not key:
        if direction:
            raise InvalidError("sort_by.direction: needs sort_by.key")
        return
    into.sort_by.key = listed.fields.find(key).name
    if direction and direction not in _DIRECTIONS:
        raise InvalidError(
            f"sort_by.direction: is {direction[:_MAX_QUOTED]!r}; send ASCENDING or DESCENDING"
        )
    into.sort_by.direction = _DIRECTIONS[direction or "DESCENDING"]


def _parse_limit(query: Mapping[str, str]) -> int:
    """Return the page size; more than the most is the most."""
    given = query.get("limit")
    if given is None:
        return DEFAULT_LIMIT
    if not (given.isascii() and given.isdigit() and int(given[:10]) > 0):
        raise InvalidError(
            f"limit: is {given[:_MAX_QUOTED]!r}; send a number from 1 to {MAX_LIMIT}"
        )
    return min(int(given[:10]), MAX_LIMIT)


def _set(message: Any, path: str, value: str) -> None:
    """Set a field of text by its dotted path."""
    *above, last = path.split(".")
    for name in above:
        message = getattr(message, name)
    setattr(message, last, value)


def _decode(raw: bytes, name: str) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{name}: is not UTF-8") from error
