"""
Read the log of an attempt: the lines of its containers, merged by the kubelet's timestamps.

The same containers in the same order give the same lines, live and shipped, so that an
interrupted reader resumes after a line's number. A container's log is what its node still has:
nodes keep the last ten megabytes or so.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from dataplane.agent.core import attempt_limits
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import InvalidError, NotFoundError
from dataplane.agent.kube.objects import Name, Object, name_of
from dataplane.agent.runtimes.kubernetes import runtime_limits, statuses
from dataplane.agent.runtimes.log_lines import cut_text, find_cut, overwrite
from shared.formats.logs import encode_line
from shared.kit.gzip import Compressor
from shared.model.logs import LogLine, Originator

_BATCH_LINES = 1024
_NORMAL_LENGTH = len("2026-06-01T12:00:00.000000000Z")
_FRACTION = re.compile(r"\.(\d+)")
_FULL = "the log ends here: it has reached its size limit; the task runs on"


@dataclass(frozen=True, slots=True)
class Source:
    """One container whose lines belong to the log."""

    pod: Name
    container: str
    mark: str = ""  # put before each line, if there are several sources
    originator: Originator = Originator.USER


@dataclass(frozen=True, slots=True)
class Line:
    """A line with the kubelet's timestamp, as text: it has nanoseconds, and sorts."""

    timestamp: str
    text: str


@dataclass(frozen=True, slots=True)
class Captured:
    packed: bytes  # gzip'd lines, as they are shipped; empty: there were none
    last_lines: Sequence[str]  # of the task itself


def list_sources(
    pods: Collection[Object], names: Sequence[str] | None, *, begun: bool
) -> Sequence[Source]:
    """
    List the containers that make up the log, the task's own first.

    ``names`` are the pods, the main one first, None for all there are. ``begun``: only those
    that have something to read; the kubelet does not know the others yet.
    """
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    chosen = sorted(by_name) if names is None else [name for name in names if name in by_name]
    sources = [
        _source(by_name[name], container, is_main=index == 0)
        for index, name in enumerate(chosen)
        for container in _containers(by_name[name])
        if not begun or _has_begun(by_name[name], container)
    ]
    return sources[: runtime_limits.LOG_SOURCES]


async def read(
    kube: Kube,
    source: Source,
    *,
    after: str = "",
    follow: bool = False,
    limit_bytes: int | None = None,
) -> AsyncGenerator[Sequence[Line], None]:
    """
    Yield the lines of the second of ``after`` and later, as they arrive; none without a
    container.

    Raises KubeError when the connection breaks; resume with the last line's timestamp, and skip
    lines that are not newer (the API counts in whole seconds).
    """
    since = statuses.parse_timestamp(after) if after else None
    chunks = kube.log(
        source.pod,
        source.container,
        follow=follow,
        since_time=since,
        timestamps=True,
        limit_bytes=limit_bytes,
        silence=runtime_limits.LOG_SILENCE if follow else None,
    )
    parser = _Parser()
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                lines = list(parser.feed(chunk))
                if lines:
                    yield lines
    except (InvalidError, NotFoundError):
        return  # not started yet, or already gone
    lines = list(parser.close())
    if lines and limit_bytes is None:  # a line cut by a limit is read again, whole
        yield lines


async def capture(kube: Kube, sources: Sequence[Source]) -> Captured:
    """Read the whole log, bounded; KubeError when the connection breaks."""
    packer = Compressor()
    packed: list[bytes] = []
    last: deque[str] = deque(maxlen=attempt_limits.LAST_LINES)
    left = attempt_limits.LOG_BYTES
    merged = _merge([_paged(kube, source) for source in sources])
    async with aclosing(merged):
        async for batch in merged:
            raw, size = await asyncio.to_thread(_pack, packer, batch, left)
            packed.append(raw)
            left -= size
            last.extend(line.text for line in batch if line.originator is Originator.USER)
            if left <= 0:
                break
    if left == attempt_limits.LOG_BYTES:
        return Captured(b"", [])
    packed.append(packer.finish())
    return Captured(b"".join(packed), _bounded(last))


def as_log_line(source: Source, line: Line, at: datetime) -> LogLine:
    return LogLine(
        statuses.parse_timestamp(line.timestamp) or at,
        source.mark + line.text,
        source.originator,
    )


def _containers(pod: Object) -> Iterator[str]:
    primary = statuses.primary_of(pod)
    yield primary
    for group in ("initContainers", "containers"):
        for container in pod["spec"].get(group) or ():
            if container["name"] != primary:
                yield container["name"]


def _source(pod: Object, container: str, *, is_main: bool) -> Source:
    is_own = container.startswith(statuses.OWN_PREFIX)
    is_primary = container == statuses.primary_of(pod)
    if is_main:
        mark = "" if is_primary else f"[{container}] "
    else:
        name = pod["metadata"]["name"]
        mark = f"[{name}] " if is_primary else f"[{name}/{container}] "
    originator = Originator.SYSTEM if is_own else Originator.USER
    return Source(name_of(pod), container, mark, originator)


def _has_begun(pod: Object, container: str) -> bool:
    status = statuses.container_status(pod, container)
    return bool(statuses.running(status) or statuses.terminated(status))


class _Parser:
    """Parses ``<timestamp> <text>`` lines from bytes that may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._timestamp = ""

    def feed(self, data: bytes) -> Iterator[Line]:
        *whole, rest = (self._rest + data).split(b"\n")
        for raw in whole:
            yield from self._parse(raw)
        self._rest = _drop_overwritten(rest)
        while len(self._rest) > 2 * attempt_limits.LINE_BYTES:
            cut = find_cut(self._rest, attempt_limits.LINE_BYTES)
            raw, self._rest = self._rest[:cut], self._rest[cut:]
            yield from self._parse(raw)

    def close(self) -> Iterator[Line]:
        if self._rest:
            yield from self._parse(self._rest)
            self._rest = b""

    def _parse(self, raw: bytes) -> Iterator[Line]:
        timestamp, space, text = raw.partition(b" ")
        stamp = _in_utc(timestamp.decode(errors="replace"))
        if space and stamp:
            self._timestamp = stamp
        else:
            text = raw  # the rest of a line that was too long
        for piece in cut_text(overwrite(text), attempt_limits.LINE_BYTES):
            yield Line(self._timestamp, piece.decode(errors="replace"))


def _drop_overwritten(raw: bytes) -> bytes:
    """
    Drop the states of a progress bar that later ones have overwritten, so that it is one line.

    Nodes pass the output on in pieces of 16 KiB, however long the line.
    """
    ended = len(raw.rstrip(b"\r"))
    if b"\r" not in raw[:ended]:
        return raw
    stamp, space, _ = raw.partition(b" ")
    prefix = stamp + space if _in_utc(stamp.decode(errors="replace")) else b""
    return prefix + overwrite(raw) + raw[ended:]


def _in_utc(timestamp: str) -> str:
    """
    Return the timestamp with nine digits and in UTC, so that it sorts as text; "" if
    invalid.
    """
    at = statuses.parse_timestamp(timestamp)
    if at is None:
        return ""
    if len(timestamp) == _NORMAL_LENGTH and timestamp[-1] == "Z":
        return timestamp
    fraction = _FRACTION.search(timestamp)
    digits = (fraction[1] if fraction else "")[:9].ljust(9, "0")
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{digits}Z"


async def _paged(kube: Kube, source: Source) -> AsyncIterator[tuple[str, LogLine]]:
    """Yield each line of a source with the timestamp by which it is sorted."""
    async with aclosing(read(kube, source)) as chunks:
        async for lines in chunks:
            for line in lines:
                at = statuses.parse_timestamp(line.timestamp)
                if at is not None:
                    yield line.timestamp, as_log_line(source, line, at)


async def _merge(
    sources: Sequence[AsyncIterator[tuple[str, LogLine]]],
) -> AsyncGenerator[Sequence[LogLine], None]:
    """
    Merge sources sorted by timestamp, in batches; of two at one timestamp the first source's
    first.
    """
    heads = [(await anext(source, None), index) for index, source in enumerate(sources)]
    batch: list[LogLine] = []
    while True:
        ready = [(head[0], index) for head, index in heads if head is not None]
        if not ready:
            break
        _, index = min(ready)
        head = heads[index][0]
        if head is not None:
            batch.append(head[1])
        heads[index] = (await anext(sources[index], None), index)
        if len(batch) >= _BATCH_LINES:
            yield batch
            batch = []
    if batch:
        yield batch


def _pack(packer: Compressor, batch: Sequence[LogLine], left: int) -> tuple[bytes, int]:
    """Return the batch compressed, and its uncompressed size; cut at the remaining capacity."""
    encoded: list[bytes] = []
    size = 0
    for line in batch:
        raw = encode_line(line)
        size += len(raw)
        if size > left:
            encoded.append(encode_line(LogLine(line.at, _FULL, Originator.SYSTEM)))
            break
        encoded.append(raw)
    return packer.feed(b"".join(encoded)), size


def _bounded(lines: Collection[str]) -> Sequence[str]:
    """Keep as many of the last lines as a pod's recorded outcome may hold."""
    kept: deque[str] = deque()
    left = runtime_limits.LAST_LINES_BYTES
    for line in reversed(lines if isinstance(lines, deque) else list(lines)):
        raw = line.encode()[: max(0, left)]
        left -= len(raw) + 1
        if left < 0:
            break
        kept.appendleft(raw.decode(errors="ignore"))
    return list(kept)
