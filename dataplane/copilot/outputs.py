"""
Uploads the files below the output directory as blobs and outputs.pb.

An output is a file or a directory of its name, in the layout of :mod:`inputs`. A list or a
dict of simple values may also be one JSON file. Everything is validated before anything is
uploaded, and outputs.pb is written last: if it exists, the outputs are complete. Symbolic
links are rejected: their target may not belong to the task.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flyteidl2.core import interface_pb2, literals_pb2, types_pb2
from flyteidl2.task import common_pb2
from google.protobuf.message import DecodeError

from dataplane.copilot import checks, strings
from dataplane.copilot.documents import MARKER_FILES
from dataplane.copilot.errors import HandoffError, InvalidDataError
from dataplane.copilot.handoff import Handoff, Limits
from dataplane.copilot.names import file_name
from dataplane.copilot.transfers import Send, Transfers

OUTPUTS = "outputs.pb"
_MISSING = "OutputMissing"
_INVALID = "OutputInvalid"


def upload_outputs(handoff: Handoff, transfers: Transfers) -> None:
    """Upload the outputs of the interface; InvalidDataError if one is missing or not as declared."""
    collected = Collected(handoff.limits)
    outputs = common_pb2.Outputs()
    for entry in parse_interface(handoff.outputs.interface).variables:
        label = f"output {entry.key!r}"
        name = file_name(entry.key, "an output", code=_INVALID)
        if name in MARKER_FILES:
            raise InvalidDataError(
                f"{label} has the name of a marker file of the copilot; rename it", code=_INVALID
            )
        literal = collected.collect(
            entry.value.type,
            handoff.outputs.path / name,
            f"{handoff.outputs.raw_prefix}/{name}",
            label,
        )
        outputs.literals.add(name=entry.key, value=literal)
    body = outputs.SerializeToString()
    if len(body) > handoff.limits.document_bytes:
        raise InvalidDataError(
            f"the outputs have {len(body)} bytes, more than {handoff.limits.document_bytes};"
            " pass large data as files",
            code="OutputTooLarge",
        )
    transfers.send(collected.sends)
    transfers.send_bytes(f"{handoff.outputs.prefix}/{OUTPUTS}", body)


def parse_interface(body: bytes) -> interface_pb2.VariableMap:
    try:
        return interface_pb2.VariableMap.FromString(body)
    except DecodeError as error:
        raise HandoffError(f"outputs.interface is not a VariableMap: {error}") from error


class Collected:
    """Converts output files to literals, and collects the files to upload as blobs."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.sends: list[Send] = []

    def collect(
        self, kind: types_pb2.LiteralType, path: Path, uri: str, label: str
    ) -> literals_pb2.Literal:
        """Return the literal of the file or directory at ``path``."""
        match kind.WhichOneof("type"):
            case "simple" | "enum_type":
                return self._simple(kind, path, label)
            case "blob":
                return self._blob(kind.blob, path, uri, label)
            case "structured_dataset_type":
                self._tree(path, uri, label)
                scalar = literals_pb2.Scalar()
                scalar.structured_dataset.uri = uri
                scalar.structured_dataset.metadata.structured_dataset_type.CopyFrom(
                    kind.structured_dataset_type
                )
                return literals_pb2.Literal(scalar=scalar)
            case "collection_type":
                return self._collection(kind, path, uri, label)
            case "map_value_type":
                return self._map(kind, path, uri, label)
            case "union_type":
                return self._union(kind.union_type, path, uri, label)
            case other:
                raise InvalidDataError(
                    f"{label} is a {other}, which a raw container cannot return; use a file",
                    code=_INVALID,
                )

    def _simple(self, kind: types_pb2.LiteralType, path: Path, label: str) -> literals_pb2.Literal:
        if kind.simple == types_pb2.NONE and kind.HasField("simple") and not _exists(path):
            return _value_of(kind, "", label)
        content = self._read(path, label)
        if kind.simple == types_pb2.BINARY:
            binary = literals_pb2.Binary(value=content)
            return literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=binary))
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise InvalidDataError(f"{label}: {path} is not UTF-8 text", code=_INVALID) from error
        return _value_of(kind, text, label)

    def _blob(
        self, kind: types_pb2.BlobType, path: Path, uri: str, label: str
    ) -> literals_pb2.Literal:
        is_directory = stat.S_ISDIR(_stat(path, label).st_mode)
        if is_directory != (kind.dimensionality == types_pb2.BlobType.MULTIPART):
            found, declared = ("directory", "file") if is_directory else ("file", "directory")
            raise InvalidDataError(
                f"{label} is declared as a {declared}, and {path} is a {found}", code=_INVALID
            )
        self._tree(path, uri, label)
        metadata = literals_pb2.BlobMetadata(type=kind)
        blob = literals_pb2.Blob(uri=uri, metadata=metadata)
        return literals_pb2.Literal(scalar=literals_pb2.Scalar(blob=blob))

    def _collection(
        self, kind: types_pb2.LiteralType, path: Path, uri: str, label: str
    ) -> literals_pb2.Literal:
        if not stat.S_ISDIR(_stat(path, label).st_mode):
            return _from_json(kind, self._json(path, label), label)
        names = sorted(_entries(path, label), key=_by_number)
        return _list_of(
            self.collect(kind.collection_type, path / name, f"{uri}/{name}", f"{label}[{name}]")
            for name in names
        )

    def _map(
        self, kind: types_pb2.LiteralType, path: Path, uri: str, label: str
    ) -> literals_pb2.Literal:
        if not stat.S_ISDIR(_stat(path, label).st_mode):
            return _from_json(kind, self._json(path, label), label)
        return _map_of(
            {
                name: self.collect(
                    kind.map_value_type, path / name, f"{uri}/{name}", f"{label}[{name!r}]"
                )
                for name in sorted(_entries(path, label))
            }
        )

    def _union(
        self, kind: types_pb2.UnionType, path: Path, uri: str, label: str
    ) -> literals_pb2.Literal:
        """Return the first variant that matches; None is tried last, and matches a missing file."""
        before = len(self.sends)

        def collect(variant: types_pb2.LiteralType) -> literals_pb2.Literal:
            del self.sends[before:]  # files of a variant that did not match
            return self.collect(variant, path, uri, label)

        return _first_matching(kind, collect, label)

    def _tree(self, path: Path, uri: str, label: str) -> None:
        """Collect a file, or every file below a directory, for upload."""
        found = _stat(path, label)
        if stat.S_ISDIR(found.st_mode):
            for name in sorted(_entries(path, label)):
                self._tree(path / name, f"{uri}/{name}", label)
            return
        if not stat.S_ISREG(found.st_mode):
            raise InvalidDataError(f"{label}: {path} is neither file nor directory", code=_INVALID)
        if len(self.sends) >= self._limits.files:
            raise InvalidDataError(
                f"the outputs are more than {self._limits.files} files; pack them into an archive",
                code="OutputTooLarge",
            )
        self.sends.append(Send(path, uri, found.st_size))

    def _json(self, path: Path, label: str) -> object:
        try:
            return json.loads(self._read(path, label))
        except ValueError as error:
            raise InvalidDataError(
                f"{label}: {path} is not JSON; write JSON, or a directory with one file per item",
                code=_INVALID,
            ) from error

    def _read(self, path: Path, label: str) -> bytes:
        found = _stat(path, label)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidDataError(f"{label}: {path} is not a file", code=_INVALID)
        limit = self._limits.value_bytes
        if found.st_size > limit:
            raise InvalidDataError(
                f"{label}: {path} has {found.st_size} bytes, and a value may have {limit};"
                " declare it as a File",
                code="OutputTooLarge",
            )
        with checks.opened(path, found.st_size) as file:
            return os.pread(file, found.st_size, 0)


def _value_of(kind: types_pb2.LiteralType, text: str, label: str) -> literals_pb2.Literal:
    is_enum = kind.HasField("enum_type")
    if is_enum and text not in kind.enum_type.values:
        text = text.strip()
        if text not in kind.enum_type.values:
            choices = ", ".join(kind.enum_type.values)
            raise InvalidDataError(f"{label}: {text[:80]!r} is not one of {choices}", code=_INVALID)
    try:
        scalar = strings.parse_simple(types_pb2.STRING if is_enum else kind.simple, text)
    except ValueError as error:
        raise InvalidDataError(f"{label}: {error}", code=_INVALID) from error
    return literals_pb2.Literal(scalar=scalar)


def _from_json(kind: types_pb2.LiteralType, value: object, label: str) -> literals_pb2.Literal:
    match kind.WhichOneof("type"), value:
        case "collection_type", list():
            return _list_of(
                _from_json(kind.collection_type, each, f"{label}[{index}]")
                for index, each in enumerate(value)
            )
        case "map_value_type", dict():
            return _map_of(
                {
                    key: _from_json(kind.map_value_type, each, f"{label}[{key!r}]")
                    for key, each in value.items()
                }
            )
        case "union_type", _:
            return _first_matching(
                kind.union_type, lambda variant: _from_json(variant, value, label), label
            )
        case (("simple" | "enum_type"), _) if _takes(kind, value):
            return _value_of(kind, value if isinstance(value, str) else json.dumps(value), label)
        case expected, _:
            raise InvalidDataError(
                f"{label}: {json.dumps(value)[:80]} is not a {expected}", code=_INVALID
            )


def _takes(kind: types_pb2.LiteralType, value: object) -> bool:
    """Whether a JSON value may have a simple type: only None takes null, and bytes take none."""
    is_binary = kind.HasField("simple") and kind.simple == types_pb2.BINARY
    return not is_binary and (value is None) == _is_none(kind)


def _first_matching(
    kind: types_pb2.UnionType,
    attempt: Callable[[types_pb2.LiteralType], literals_pb2.Literal],
    label: str,
) -> literals_pb2.Literal:
    reasons = []
    for variant in sorted(kind.variants, key=_is_none):
        try:
            value = attempt(variant)
        except InvalidDataError as error:
            reasons.append(error)
            continue
        union = literals_pb2.Union(value=value, type=variant)
        return literals_pb2.Literal(scalar=literals_pb2.Scalar(union=union))
    if reasons and all(error.code == _MISSING for error in reasons):
        raise reasons[0]
    raise InvalidDataError(
        f"{label} matches none of its types: {'; '.join(map(str, reasons))}", code=_INVALID
    )


def _is_none(kind: types_pb2.LiteralType) -> bool:
    return bool(kind.WhichOneof("type") == "simple" and kind.simple == types_pb2.NONE)


def _list_of(literals: Iterator[literals_pb2.Literal]) -> literals_pb2.Literal:
    return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=literals))


def _map_of(literals: Mapping[str, literals_pb2.Literal]) -> literals_pb2.Literal:
    return literals_pb2.Literal(map=literals_pb2.LiteralMap(literals=literals))


def _entries(path: Path, label: str) -> list[str]:
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise InvalidDataError(
            f"{label}: cannot list {path}: {error.strerror}", code=_INVALID
        ) from error
    return [file_name(name, f"a file of {label}", code=_INVALID) for name in names]


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isascii() and name.isdigit() else (-1, name)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _stat(path: Path, label: str) -> os.stat_result:
    try:
        found = os.lstat(path)
    except FileNotFoundError as error:
        raise InvalidDataError(
            f"{label} is missing: the task did not write {path}", code=_MISSING
        ) from error
    except OSError as error:
        raise InvalidDataError(
            f"{label}: cannot stat {path}: {error.strerror}", code=_INVALID
        ) from error
    if stat.S_ISLNK(found.st_mode):
        raise InvalidDataError(
            f"{label}: {path} is a symbolic link; write a copy of its target", code=_INVALID
        )
    return found
