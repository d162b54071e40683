"""
Conventions that all RPCs of the platform API share: ids, pages, field masks, versions, times.

``docs/platform-api.md`` describes them to clients.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError
from controlplane.core.lists import DEFAULT_LIMIT, MAX_LIMIT, Filter, Listing, Test
from shared.model.ids import RunKey
from shared.model.phases import Phase

T = TypeVar("T")

_DIGEST = 16  # hexadecimal digits of the query's digest in a page token


class ListRequest(Protocol):
    """A list request; by convention all have these two fields."""

    page_size: int
    page_token: str


class RunRequest(Protocol):
    """A request about a run."""

    project: str
    domain: str
    run: str


class ListCall:
    """
    One call of a list RPC: the page to read, and the token of the next page.

    A token is valid for the org and the request that it was made for, page size aside. Its
    content only chooses where in this list a page begins, so a forged one is harmless.
    """

    def __init__(
        self, caller: Caller, request: ListRequest, filters: Sequence[Filter | None] = ()
    ) -> None:
        """Parse a list request; a filter of None is not set."""
        self._digest = _digest_of(caller, request)
        self.listing = Listing(
            filters=[each for each in filters if each is not None],
            limit=_parse_page_size(request.page_size),
            token=self._parse_token(request.page_token),
        )

    def next_token(self, inner: str) -> str:
        """Return the token of the next page; ``inner`` is the use case's, "" at the end."""
        return f"{self._digest}.{inner}" if inner else ""

    def slice(self, items: Sequence[T], key: Callable[[T], str]) -> tuple[Sequence[T], str]:
        """
        Return the page of a short list that is there whole, and the token of the next page.

        The items are in the order of their keys, which are unique.
        """
        after, limit = self.listing.token, self.listing.limit
        rest = [item for item in items if key(item) > after]
        page = rest[:limit]
        return page, self.next_token(key(page[-1]) if len(rest) > limit else "")

    def _parse_token(self, token: str) -> str:
        if not token:
            return ""
        digest, _, inner = token.partition(".")
        if digest != self._digest or not inner:
            raise InvalidError(
                "page_token: is not of this list; send the request that it came from unchanged, "
                "or start at the first page"
            )
        return inner


def equals(field: str, value: str) -> Filter | None:
    """Return the filter of a request's field; None if the field is not set."""
    return Filter(field, Test.EQUAL, [value]) if value else None


def parse_mask(mask: FieldMask, allowed: Sequence[str]) -> frozenset[str]:
    """Return the fields to change; InvalidError names one that cannot be, or that none is named."""
    may = f"name one of {', '.join(allowed)}"
    if not mask.paths:
        raise InvalidError(f"update_mask: names no field; {may}")
    for path in mask.paths:
        if path not in allowed:
            raise InvalidError(f"update_mask: {path!r} cannot be changed; {may}")
    return frozenset(mask.paths)


def parse_run_key(request: RunRequest) -> RunKey:
    return RunKey(
        names.parse_project(request.project),
        names.parse_domain(request.domain),
        names.parse_run(request.run),
    )


def parse_phases(phases: Iterable[str], field: str) -> frozenset[Phase]:
    """Parse names of phases as answers have them, as in "running"."""
    known = {phase.name.lower(): phase for phase in Phase if phase is not Phase.UNKNOWN}
    for name in phases:
        if name not in known:
            raise InvalidError(f"{field}: {name[:80]!r} is not one of {', '.join(known)}")
    return frozenset(known[name] for name in phases)


def parse_id(text: str, field: str) -> UUID:
    """Parse an id, in the one form that answers have it in."""
    try:
        parsed = UUID(text)
    except ValueError as error:
        raise InvalidError(
            f"{field}: {text[:80]!r} is not an id; send it as it was given"
        ) from error
    if str(parsed) != text:
        raise InvalidError(f"{field}: write {text[:80]!r} as {parsed}")
    return parsed


def parse_version(version: int) -> int | None:
    """Return the version that the caller has read; None if it is not to be compared."""
    if version < 0:
        raise InvalidError("version: send the one that was read, or 0 to compare none")
    return version or None


def parse_time(message: Timestamp, field: str) -> datetime:
    try:
        at: datetime = message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{field}: is not a timestamp") from error
    return at


def parse_duration(message: Duration, field: str) -> timedelta:
    try:
        duration: timedelta = message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{field}: is not a duration") from error
    return duration


def render_time(at: datetime | None) -> Timestamp | None:
    """Return a timestamp for a message; None leaves the field unset."""
    if at is None:
        return None
    message = Timestamp()
    message.FromDatetime(at)
    return message


def render_duration(duration: timedelta | None) -> Duration | None:
    """Return a duration for a message; None leaves the field unset."""
    if duration is None:
        return None
    message = Duration()
    message.FromTimedelta(duration)
    return message


def _parse_page_size(size: int) -> int:
    if size < 0:
        raise InvalidError(f"page_size: must not be negative, is {size}")
    return min(size, MAX_LIMIT) or DEFAULT_LIMIT


def _digest_of(caller: Caller, request: ListRequest) -> str:
    if not isinstance(request, Message):
        raise TypeError(f"{type(request)} is not a message")
    query = type(request)()
    query.CopyFrom(request)
    query.ClearField("page_size")
    query.ClearField("page_token")
    digest = hashlib.sha256(f"{caller.org}\0{query.DESCRIPTOR.full_name}\0".encode())
    digest.update(query.SerializeToString(deterministic=True))
    return digest.hexdigest()[:_DIGEST]
