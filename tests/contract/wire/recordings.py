"""
Recorded frames of releases, in files: the bytes as sent, each with a readable text form.

Ids and paths differ between sessions. They are found by their bytes and replaced by others
of the same length, which leaves every frame well-formed, including fields that this release
does not know.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from shared.idl.agent.v1 import link_pb2

RECORDED = Path(__file__).parent / "recorded"
PLACE = "/a-place-of-the-recording" + "-" * 95
"""In recordings, the directory that is the bucket; 120 characters."""

Frame = link_pb2.AgentFrame | link_pb2.ControlFrame

AGENT, CONTROL, WORLD = "agent", "control plane", "world"
"""Who did something: a side of the link, or the people and the network around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A frame on the wire, or a user's action in the scenario, which has no bytes."""

    by: str
    kind: str
    raw: bytes = b""
    means: object = None  # what the other side makes of it; for single frames

    @property
    def frame(self) -> Frame:
        return parse(self.by, self.raw)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Replaces the ids and paths of a recording by those of the current session."""

    pairs: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, recorded: bytes, today: bytes) -> None:
        assert len(recorded) == len(today), "lengths are part of a frame"
        self.pairs[recorded] = today

    def __call__(self, raw: bytes) -> bytes:
        for recorded, today in self.pairs.items():
            raw = raw.replace(recorded, today)
        return raw


def this_release() -> str:
    """Return the current release, such as 0.1; patch releases share the wire format."""
    return ".".join(metadata.version("volary").split(".")[:2])


def releases() -> Sequence[str]:
    """List the recorded releases."""
    return sorted(path.name for path in RECORDED.iterdir())


def parse(by: str, raw: bytes) -> Frame:
    if by == AGENT:
        return link_pb2.AgentFrame.FromString(raw)
    return link_pb2.ControlFrame.FromString(raw)


def kind_of(frame: Frame) -> str:
    return frame.WhichOneof("frame") or "unknown"


def twin(message: Message) -> Mapping[str, object]:
    """Render a message as text; it is derived from the bytes only."""
    return MessageToDict(message, preserving_proto_field_name=True)


def load(release: str, name: str) -> Sequence[Event]:
    last_reported = json.loads((RECORDED / release / name).read_text())
    return [
        Event(
            by=each["by"],
            kind=each["kind"],
            raw=base64.b64decode(each.get("bytes", "")),
            means=each.get("means"),
        )
        for each in last_reported
    ]


def twins(release: str, name: str) -> Sequence[tuple[Event, object]]:
    """Load frames with their text forms."""
    last_reported = json.loads((RECORDED / release / name).read_text())
    pairs = zip(load(release, name), last_reported, strict=True)
    return [(event, each["message"]) for event, each in pairs if event.raw]


def save(release: str, name: str, events: Sequence[Event]) -> None:
    path = RECORDED / release / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([dict(_told(event)) for event in events], indent=1) + "\n")


def _told(event: Event) -> Iterator[tuple[str, object]]:
    yield "by", event.by
    yield "kind", event.kind
    if event.raw:
        yield "bytes", base64.b64encode(event.raw).decode()
        yield "message", twin(event.frame)
    if event.means is not None:
        yield "means", event.means
