"""Select and report the Kubernetes ``Event`` objects of an attempt."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.statuses import parse_timestamp
from shared.model.reports import MAX_EVENT_COUNT, ClusterEvent, EventType

MOST_EVENTS = 50  # of one attempt
MOST_BYTES = 1024  # of one message
_MAX_SOURCE = 128
_TYPES = {"Normal": EventType.NORMAL, "Warning": EventType.WARNING}


def about(events: Iterable[Object], pod: Object) -> Iterator[Object]:
    """Yield the events of one pod; its uid tells it from an earlier pod of the same name."""
    metadata = pod["metadata"]
    for event in events:
        involved = event["involvedObject"]
        same = involved.get("name") == metadata["name"] and involved.get("kind") == "Pod"
        if same and involved.get("uid", "") in {"", metadata.get("uid", "")}:
            yield event


def first_at(event: Object) -> datetime | None:
    """Return the timestamp of the event's first occurrence."""
    return (
        parse_timestamp(event.get("firstTimestamp"))
        or parse_timestamp(event.get("eventTime"))
        or parse_timestamp(event["metadata"].get("creationTimestamp"))
    )


def last_at(event: Object) -> datetime | None:
    """Return the timestamp of the event's last occurrence."""
    series = event.get("series") or {}
    return (
        parse_timestamp(series.get("lastObservedTime"))
        or parse_timestamp(event.get("lastTimestamp"))
        or first_at(event)
    )


def key_of(event: Object) -> str:
    """Return the event's key: a repeated event keeps its key, and its count grows."""
    return str(event["metadata"].get("name", ""))


def last_reported(events: Collection[Object]) -> Sequence[ClusterEvent]:
    """
    Return the events to report, without duplicates, ordered by first occurrence.

    Several with one reason and message (three containers, one image) are one. Above the limit
    the first are kept, which show how it began, and the last, which show how it ended.
    """
    by_words: dict[tuple[str, str], ClusterEvent] = {}
    for event in events:
        at = first_at(event)
        if at is None:
            continue
        reason = str(event.get("reason") or "Event")
        message = _cut(str(event.get("message") or ""))
        found_event = ClusterEvent(
            at=at,
            reason=reason,
            message=message,
            type=_TYPES.get(str(event.get("type")), EventType.UNKNOWN),
            count=_count(event),
            source=_source(event),
        )
        known = by_words.get((reason, message))
        by_words[reason, message] = found_event if known is None else _merge(known, found_event)
    found = sorted(by_words.values(), key=lambda one: one.at)
    if len(found) > MOST_EVENTS:
        half = MOST_EVENTS // 2
        found = [*found[:half], *found[-half:]]
    return found


def _merge(one: ClusterEvent, other: ClusterEvent) -> ClusterEvent:
    """Return one event for two with the same words: since the first, as often as both."""
    first = one if one.at <= other.at else other
    return replace(first, type=max(one.type, other.type), count=one.count + other.count)


def _count(event: Object) -> int:
    """Return how often the event occurred: of ``events.k8s.io``, the series counts."""
    count = (event.get("series") or {}).get("count") or event.get("count")
    return count if isinstance(count, int) and 0 < count <= MAX_EVENT_COUNT else 1


def _source(event: Object) -> str:
    component = event.get("reportingComponent") or (event.get("source") or {}).get("component")
    return str(component or "")[:_MAX_SOURCE]


def _cut(message: str) -> str:
    raw = message.strip().encode()
    if len(raw) <= MOST_BYTES:
        return raw.decode()
    return raw[: MOST_BYTES - 3].decode(errors="ignore") + "…"
