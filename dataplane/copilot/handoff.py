"""
What the agent tells the copilot: one JSON object, parsed once, at the door.

    {"links":   {"endpoint": "https://…", "token_file": "/…", "ca_file": "/…"},
     "inputs":  {"uri": "s3://…/inputs.pb", "path": "/var/inputs", "format": "JSON",
                 "layout": "DIRECT", "run_started_at": "2026-01-01T00:00:00Z"},
     "outputs": {"prefix": "s3://…/1", "raw_prefix": "s3://…/1/raw",
                 "path": "/var/outputs", "interface": "<VariableMap, base64>"},
     "limits":  {"value_bytes": 1048576, …}, "seconds": {"whole": 3600, …}}

It may stand in a pod's spec: the token is in a file of its own. ``{"links": {"file":
"/…"}}`` names links that were signed beforehand. It only grows: what is not known is
ignored, what is missing has a default, but for addresses.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dataplane.copilot.errors import HandoffError

_MAX_BYTES = 1024 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_E = TypeVar("_E", bound=Enum)
_N = TypeVar("_N")


class Format(Enum):
    """flyteidl2's DataLoadingConfig.LiteralMapFormat."""

    JSON = "JSON"
    YAML = "YAML"
    PROTO = "PROTO"


class Layout(Enum):
    """flyteidl2's DataLoadingConfig.FileInputLayout."""

    DIRECT = "DIRECT"  # a file is /var/inputs/<variable>
    NAMED_DIR = "NAMED_DIR"  # it is /var/inputs/<variable>/<its own name>


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where signed URLs come from: ``file``, or ``endpoint`` with a token."""

    endpoint: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    uri: str
    path: Path
    format: Format
    layout: Layout
    run_started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    prefix: str  # outputs.pb or error.pb goes below it
    raw_prefix: str  # files and directories go below it
    path: Path
    interface: bytes  # a flyteidl2.core.VariableMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    value_bytes: int = 1024 * 1024  # of one value that travels inside outputs.pb
    document_bytes: int = 32 * 1024 * 1024  # of inputs.pb and outputs.pb
    files: int = 100_000  # of one attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    start: float = 0.0  # until the task has to have left a first file; 0: it need not
    whole: float = 7 * 24 * 3600.0  # of one command, waiting for the task included
    grace: float = 3600.0  # from SIGTERM on; half a minute less than the pod's
    timeouts: float = 300.0  # how long one transfer may go on failing


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    links: Links
    inputs: Inputs
    outputs: Outputs
    limits: Limits
    seconds: Seconds
    parallel: int = 16  # requests at once
    stay: bool = True  # a sidecar waits for SIGTERM when it is done: the kubelet restarts it else


def load_handoff(path: Path) -> Handoff:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise HandoffError(f"cannot read the handoff {path}: {error.strerror}") from error
    return parse_handoff(text)


def parse_handoff(text: bytes) -> Handoff:
    """Raise HandoffError naming the field that is wrong."""
    if len(text) > _MAX_BYTES:
        raise HandoffError(f"the handoff has {len(text)} bytes, more than {_MAX_BYTES}")
    if not text.strip():
        raise HandoffError(
            "there is no handoff; give --handoff FILE, or its JSON in the environment"
        )
    try:
        document = json.loads(text)
    except ValueError as error:
        raise HandoffError(f"the handoff is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise HandoffError("the handoff is not a JSON object")
    links, inputs, outputs = (
        _Part(document, name, required=True) for name in ("links", "inputs", "outputs")
    )
    whole = _Part({"": document}, "")
    return Handoff(
        links=_links(links),
        inputs=Inputs(
            uri=inputs.text("uri"),
            path=inputs.path("path", "/var/inputs"),
            format=inputs.parse_choice("format", Format.JSON),
            layout=inputs.parse_choice("layout", Layout.DIRECT),
            run_started_at=inputs.timestamp("run_started_at"),
        ),
        outputs=Outputs(
            prefix=outputs.text("prefix").rstrip("/"),
            raw_prefix=outputs.text("raw_prefix").rstrip("/"),
            path=outputs.path("path", "/var/outputs"),
            interface=outputs.base64("interface"),
        ),
        limits=_numbers(_Part(document, "limits"), Limits()),
        seconds=_numbers(_Part(document, "seconds"), Seconds()),
        parallel=min(64, max(1, int(whole.number("parallel", 16)))),
        stay=whole.truth("stay", usual=True),
    )


def _links(part: "_Part") -> Links:
    if part.has("file"):
        return Links(file=part.path("file", ""))
    endpoint = part.text("endpoint").rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise HandoffError(f"links.endpoint is {endpoint!r}, not an http(s) address")
    host = urlsplit(endpoint).hostname or ""
    if endpoint.startswith("http://") and part.has("token_file") and host not in _LOOPBACK:
        raise HandoffError(f"links.endpoint is {endpoint!r}: a token travels by https only")
    return Links(
        endpoint=endpoint,
        token_file=part.path("token_file", "") if part.has("token_file") else None,
        ca_file=part.path("ca_file", "") if part.has("ca_file") else None,
    )


def _numbers(part: "_Part", usual: _N) -> _N:
    """Return ``usual`` with what is said otherwise, each as the kind of number it is."""
    document = {
        each.name: type(getattr(usual, each.name))(
            part.number(each.name, getattr(usual, each.name))
        )
        for each in fields(usual)  # type: ignore[arg-type] # our own two dataclasses
    }
    return type(usual)(**document)


class _Part:
    """One object within the handoff, read field by field."""

    def __init__(self, whole: Mapping[str, object], name: str, *, required: bool = False) -> None:
        part = whole.get(name, None if required else {})
        if not isinstance(part, dict):
            raise HandoffError(f"the handoff has no object {name!r}")
        self._part: Mapping[str, object] = part
        self._name = name

    def has(self, name: str) -> bool:
        return self._part.get(name) not in {None, ""}

    def text(self, name: str, usual: str | None = None) -> str:
        value = self._part.get(name, usual)
        if not isinstance(value, str) or (not value and usual is None):
            raise self._wrong(name, value, "a text that is not empty")
        return value

    def path(self, name: str, usual: str) -> Path:
        path = Path(self.text(name, usual) or usual)
        if not path.is_absolute():
            raise self._wrong(name, str(path), "an absolute path")
        return path

    def parse_choice(self, name: str, usual: _E) -> _E:
        value = self._part.get(name, usual.value)
        for each in type(usual):
            if each.value == value:
                return each
        choices = ", ".join(each.value for each in type(usual))
        raise self._wrong(name, value, f"one of {choices}")

    def number(self, name: str, usual: float) -> float:
        value = self._part.get(name, usual)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self._wrong(name, value, "a number of 0 or more")
        return value

    def truth(self, name: str, *, usual: bool) -> bool:
        value = self._part.get(name, usual)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def timestamp(self, name: str) -> datetime | None:
        text = self.text(name, "")
        if not text:
            return None
        try:
            timestamp = datetime.fromisoformat(text)
        except ValueError as error:
            raise self._wrong(name, text, "an instant as 2026-01-01T00:00:00Z") from error
        if timestamp.tzinfo is None:
            raise self._wrong(name, text, "an instant with its offset")
        return timestamp

    def base64(self, name: str) -> bytes:
        text = self.text(name, "")
        try:
            return b64decode(text, validate=True)
        except ValueError as error:
            raise self._wrong(name, text, "base64") from error

    def _wrong(self, name: str, value: object, desired: str) -> HandoffError:
        field = f"{self._name}.{name}" if self._name else name
        return HandoffError(f"the handoff's {field} is {str(value)[:200]!r}; give {desired}")
