"""
Parses the handoff, the JSON object that tells the copilot what to transfer.

    {"links":   {"endpoint": "https://…", "token_file": "/…", "ca_file": "/…"},
     "inputs":  {"uri": "s3://…/inputs.pb", "path": "/var/inputs", "format": "JSON",
                 "layout": "DIRECT", "run_started_at": "2026-01-01T00:00:00Z"},
     "outputs": {"prefix": "s3://…/1", "raw_prefix": "s3://…/1/raw",
                 "path": "/var/outputs", "interface": "<VariableMap, base64>"},
     "limits":  {"value_bytes": 1048576, …}, "seconds": {"whole": 3600, …}}

It contains no secret, so it may be part of a pod's spec: the token is in a file.
``{"links": {"file": "/…"}}`` names a file of presigned links. For compatibility between
releases unknown fields are ignored, and missing fields have defaults, except URIs and
addresses.
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
_KEYS = {"retry": "patience"}  # JSON keys that differ from the fields' names
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
    """Source of signed URLs: ``file``, or ``endpoint`` with a token."""

    endpoint: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """URI of inputs.pb, and the directory and layout of the files to write."""

    uri: str
    path: Path
    format: Format
    layout: Layout
    run_started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Directory and types of the task's outputs, and the prefixes to upload them to."""

    prefix: str  # of outputs.pb or error.pb
    raw_prefix: str  # of files and directories
    path: Path
    interface: bytes  # a flyteidl2.core.VariableMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one attempt's inputs and outputs."""

    value_bytes: int = 1024 * 1024  # of one value inside outputs.pb
    document_bytes: int = 32 * 1024 * 1024  # of inputs.pb and outputs.pb
    files: int = 100_000  # of one attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Timeouts, in seconds."""

    start: float = 0.0  # until the task's first output file; 0: no limit
    whole: float = 7 * 24 * 3600.0  # of one command, including waiting for the task
    grace: float = 3600.0  # from SIGTERM; half a minute less than the pod's
    retry: float = 300.0  # of the retries of one transfer; "patience" in the JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """A parsed handoff."""

    links: Links
    inputs: Inputs
    outputs: Outputs
    limits: Limits
    seconds: Seconds
    parallel: int = 16  # concurrent requests
    stay: bool = True  # a sidecar that is done waits for SIGTERM: else the kubelet restarts it


def load_handoff(path: Path) -> Handoff:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise HandoffError(f"cannot read the handoff {path}: {error.strerror}") from error
    return parse_handoff(text)


def parse_handoff(text: bytes) -> Handoff:
    """Parse a handoff; HandoffError names the invalid field."""
    if len(text) > _MAX_BYTES:
        raise HandoffError(f"the handoff has {len(text)} bytes, more than {_MAX_BYTES}")
    if not text.strip():
        raise HandoffError(
            "there is no handoff; pass --handoff FILE, or its JSON in VOLARY_COPILOT_HANDOFF"
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
        stay=whole.boolean("stay", default=True),
    )


def _links(part: "_Part") -> Links:
    if part.has("file"):
        return Links(file=part.path("file", ""))
    endpoint = part.text("endpoint").rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise HandoffError(f"links.endpoint is {endpoint!r}, not an http(s) address")
    host = urlsplit(endpoint).hostname or ""
    if endpoint.startswith("http://") and part.has("token_file") and host not in _LOOPBACK:
        raise HandoffError(f"links.endpoint is {endpoint!r}: a token is sent over https only")
    return Links(
        endpoint=endpoint,
        token_file=part.path("token_file", "") if part.has("token_file") else None,
        ca_file=part.path("ca_file", "") if part.has("ca_file") else None,
    )


def _numbers(part: "_Part", default: _N) -> _N:
    """Return ``default`` with the numbers given in ``part``, converted to the fields' types."""
    document = {
        each.name: type(getattr(default, each.name))(
            part.number(_KEYS.get(each.name, each.name), getattr(default, each.name))
        )
        for each in fields(default)  # type: ignore[arg-type] # our own two dataclasses
    }
    return type(default)(**document)


class _Part:
    """One object within the handoff, with typed accessors that raise HandoffError."""

    def __init__(self, whole: Mapping[str, object], name: str, *, required: bool = False) -> None:
        part = whole.get(name, None if required else {})
        if not isinstance(part, dict):
            raise HandoffError(f"the handoff has no object {name!r}")
        self._part: Mapping[str, object] = part
        self._name = name

    def has(self, name: str) -> bool:
        return self._part.get(name) not in {None, ""}

    def text(self, name: str, default: str | None = None) -> str:
        value = self._part.get(name, default)
        if not isinstance(value, str) or (not value and default is None):
            raise self._wrong(name, value, "a non-empty string")
        return value

    def path(self, name: str, default: str) -> Path:
        path = Path(self.text(name, default) or default)
        if not path.is_absolute():
            raise self._wrong(name, str(path), "an absolute path")
        return path

    def parse_choice(self, name: str, default: _E) -> _E:
        value = self._part.get(name, default.value)
        for each in type(default):
            if each.value == value:
                return each
        choices = ", ".join(each.value for each in type(default))
        raise self._wrong(name, value, f"one of {choices}")

    def number(self, name: str, default: float) -> float:
        value = self._part.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self._wrong(name, value, "a number of 0 or more")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._part.get(name, default)
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
            raise self._wrong(name, text, "a timestamp such as 2026-01-01T00:00:00Z") from error
        if timestamp.tzinfo is None:
            raise self._wrong(name, text, "a timestamp with its UTC offset")
        return timestamp

    def base64(self, name: str) -> bytes:
        text = self.text(name, "")
        try:
            return b64decode(text, validate=True)
        except ValueError as error:
            raise self._wrong(name, text, "base64") from error

    def _wrong(self, name: str, value: object, expected: str) -> HandoffError:
        field = f"{self._name}.{name}" if self._name else name
        return HandoffError(f"the handoff's {field} is {str(value)[:200]!r}; give {expected}")
