"""Builds an RPC's message from the path, the query and the body of an HTTP request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any
from urllib.parse import unquote_to_bytes

from flyteidl2.common.list_pb2 import ListRequest, Sort
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from controlplane.api.convert.lists import render_filters
from controlplane.api.resources.route import Listed, PageOnly, Route
from controlplane.api.wire import JSON_CODEC
from controlplane.core import filter_text
from controlplane.core.errors import InvalidError
from controlplane.core.lists import DEFAULT_LIMIT, MAX_LIMIT, Filter, Test
from controlplane.core.page_tokens import bind_token, open_token

_PAGE_PARAMETERS = ("limit", "token")
_LIST_PARAMETERS = ("filters", "sort_by.key", "sort_by.direction", *_PAGE_PARAMETERS)
_ETAG_DIGITS = 19
_NUMBERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_DIRECTIONS = {"ASCENDING": Sort.ASCENDING, "DESCENDING": Sort.DESCENDING}
_MAX_QUOTED = 100  # characters of a parameter in an error message


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its route, and the values of its path, query and header, and its body."""

    route: Route
    values: Mapping[str, str]
    query: Mapping[str, str]
    header: str = ""
    body: bytes = b""


def choose(routes: Sequence[Route], query: Mapping[str, str], headers: Mapping[str, str]) -> Route:
    """Return the first route whose condition holds; InvalidError for a flag that is no boolean."""
    for route in routes:
        if route.flag and route.flag in query:
            if query[route.flag] not in ("true", "false"):
                raise InvalidError(f"{route.flag}: is {query[route.flag]!r}; send true or false")
            if query[route.flag] == "true":
                return route
        elif not route.flag and (route.header is None or route.header.name in headers):
            return route
    return routes[-1]


def build_request(call: Call, message: Message) -> None:
    """Fill ``message`` from the body, the path, the query and the header; InvalidError."""
    route = call.route
    if route.body is not None:
        _fill_body(call, message, route.body)
    if route.present:
        getattr(message, route.present).SetInParent()
    for name, path in (*route.fills.items(), *route.also.items()):
        _set(message, path, call.values[name])
    for name, path in route.query.items():
        if name in call.query:
            _set(message, path, _parse_number(name, call.query[name]))
    for name in call.query.keys() - {route.flag, *route.query} if route.query else ():
        raise InvalidError(f"{name}: is not for {route.flag}=true; leave one of them out")
    if route.header is not None:
        value = parse_etag(route.header.name, call.header) if route.header.is_etag else call.header
        _set(message, route.header.field, value)
    if route.listed is not None:
        _fill_list(route.listed, message, call.query, list_question(call))


def list_parameters(routes: Sequence[Route]) -> list[str]:
    """Return the names of the query parameters that the routes of a method and path take."""
    found: list[str] = []
    for route in routes:
        if isinstance(route.listed, Listed):
            found += [*_LIST_PARAMETERS, *route.listed.equals]
        elif route.listed is not None:
            found += _PAGE_PARAMETERS
        found += [*route.query, route.flag] if route.flag else route.query
    return list(dict.fromkeys(found))


def parse_etag(name: str, value: str) -> int:
    """Parse the version in an entity tag, such as ``"3"``."""
    text = value.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < _ETAG_DIGITS):
        raise InvalidError(f"{name}: is {value[:_MAX_QUOTED]!r}; send the etag that was read")
    return int(text)


def _fill_body(call: Call, message: Any, part: str) -> None:
    """Parse the body into the message or a part of it; what the path names is not in the body."""
    into = reduce(getattr, part.split("."), message) if part else message
    body = call.body.strip()
    if body:
        if not body.startswith(b"{"):
            raise InvalidError("the body is not a JSON object")
        JSON_CODEC.decode(body, into)
    if part:
        into.SetInParent()
    for name, path in call.route.fills.items():
        if part and path.startswith(f"{part}."):
            below = path.removeprefix(f"{part}.")
            given = getattr(into, below)
            if given not in ("", call.values[name]):
                raise InvalidError(f"{below}: is not the one of the path; leave it out of the body")
        elif not part and (taken := _find_set(message, path.partition(".")[0])):
            raise InvalidError(f"{taken}: is named by the path; leave it out of the body")
    for path in () if part else call.route.also.values():
        if taken := _find_set(message, path.partition(".")[0]):
            raise InvalidError(f"{taken}: is named by the path; leave it out of the body")


def _find_set(message: Any, name: str) -> str | None:
    """Return the field that is set, of a field and those that exclude it; None if none is."""
    chosen = message.DESCRIPTOR.fields_by_name[name].containing_oneof
    if chosen is not None:
        found: str | None = message.WhichOneof(chosen.name)
        return found
    return name if any(field.name == name for field, _ in message.ListFields()) else None


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


def list_question(call: Call) -> list[str]:
    """Return what a page token belongs to: the list, its filters and its order."""
    query = sorted(call.query.items())
    asked = [f"{name}={value}" for name, value in query if name not in _PAGE_PARAMETERS]
    return [call.route.rpc, *(call.values[name] for name in call.route.fills), *asked]


def bind_page(call: Call, answer: Any) -> None:
    """Bind the token of a list's answer to the question."""
    if call.route.listed is not None:
        answer.token = bind_token(answer.token, list_question(call))


def _fill_list(
    listed: Listed | PageOnly, message: Any, query: Mapping[str, str], question: list[str]
) -> None:
    of_request = isinstance(listed, PageOnly) or listed.is_text
    into = message if of_request else message.request
    into.limit = _parse_limit(query)
    into.token = open_token(query.get("token", ""), question)
    if isinstance(listed, PageOnly):
        return
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
    if listed.hides and all(each.field != listed.hides for each in asked):
        asked.append(Filter(listed.hides, Test.EQUAL, ["false"]))
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


def _set(message: Any, path: str, value: str | int) -> None:
    """Set a field by its dotted path; on the way, of a repeated field the first one."""
    *above, last = path.split(".")
    for name in above:
        is_repeated = message.DESCRIPTOR.fields_by_name[name].is_repeated
        message = getattr(message, name)
        if is_repeated:
            message = message[0] if message else message.add()
    field = message.DESCRIPTOR.fields_by_name[last]
    if field.cpp_type in _NUMBERS and isinstance(value, str):
        value = _parse_number(last, value)
    if field.is_repeated:
        getattr(message, last).append(value)
    else:
        setattr(message, last, value)


def _parse_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < _ETAG_DIGITS):
        raise InvalidError(f"{name}: {text[:_MAX_QUOTED]!r} is no number")
    return int(text)


def _decode(raw: bytes, name: str) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{name}: is not UTF-8") from error
