"""
Files below the output directory become blobs and outputs.pb.

An output is a file or a directory of its name, in the layout of :mod:`inputs`. A list or a
dict of simple values may also be one file of JSON. Everything is looked at before anything
is shipped, and outputs.pb is written last: where it is, all is there. No symbolic link is
followed: what it leads to need not be the task's.
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
from dataplane.copilot.documents import MARKS
from dataplane.copilot.errors import HandoffError, UnfitError
from dataplane.copilot.handoff import Handoff, Limits
from dataplane.copilot.names import file_name
from dataplane.copilot.transfers import Send, Transfers

OUTPUTS = "outputs.pb"
_MISSING = "OutputMissing"
_INVALID = "OutputInvalid"


def ship_outputs(last_reported: Handoff, transfers: Transfers) -> None:
    """Ship what the interface names; UnfitError for what is missing or not as declared."""
    collected = Collected(last_reported.limits)
    outputs = common_pb2.Outputs()
    for entry in parse_interface(last_reported.outputs.interface).variables:
        what = f"output {entry.key!r}"
        name = file_name(entry.key, "an output", code=_INVALID)
        if name in MARKS:
            raise UnfitError(f"{what} takes the name of a mark of ours; rename it", code=_INVALID)
        literal = collected.collect(
            entry.value.type,
            last_reported.outputs.path / name,
            f"{last_reported.outputs.raw_prefix}/{name}",
            what,
        )
        outputs.literals.add(name=entry.key, value=literal)
    body = outputs.SerializeToString()
    if len(body) > last_reported.limits.document_bytes:
        raise UnfitError(
            f"the outputs take {len(body)} bytes, more than {last_reported.limits.document_bytes};"
            " pass large data as files",
            code="OutputTooLarge",
        )
    transfers.send(collected.sends)
    transfers.send_bytes(f"{last_reported.outputs.prefix}/{OUTPUTS}", body)


def parse_interface(body: bytes) -> interface_pb2.VariableMap:
    try:
        return interface_pb2.VariableMap.FromString(body)
    except DecodeError as error:
        raise HandoffError(f"outputs.interface is no VariableMap: {error}") from error


class Collected:
    """What was found, and what of it has to be shipped as blobs."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.sends: list[Send] = []

    def collect(
        self, kind: types_pb2.LiteralType, path: Path, uri: str, what: str
    ) -> literals_pb2.Literal:
        """Return the literal of the file or directory at ``path``."""
        match kind.WhichOneof("type"):
            case "simple" | "enum_type":
                return self._simple(kind, path, what)
            case "blob":
                return self._blob(kind.blob, path, uri, what)
            case "structured_dataset_type":
                self._tree(path, uri, what)
                scalar = literals_pb2.Scalar()
                scalar.structured_dataset.uri = uri
                scalar.structured_dataset.metadata.structured_dataset_type.CopyFrom(
                    kind.structured_dataset_type
                )
                return literals_pb2.Literal(scalar=scalar)
            case "collection_type":
                return self._collection(kind, path, uri, what)
            case "map_value_type":
                return self._map(kind, path, uri, what)
            case "union_type":
                return self._union(kind.union_type, path, uri, what)
            case other:
                raise UnfitError(
                    f"{what} is a {other}, which no container can leave; use a file", code=_INVALID
                )

    def _simple(self, kind: types_pb2.LiteralType, path: Path, what: str) -> literals_pb2.Literal:
        if kind.simple == types_pb2.NONE and kind.HasField("simple") and not _exists(path):
            return _value_of(kind, "", what)
        content = self._read(path, what)
        if kind.simple == types_pb2.BINARY:
            binary = literals_pb2.Binary(value=content)
            return literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=binary))
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise UnfitError(f"{what}: {path} is not UTF-8 text", code=_INVALID) from error
        return _value_of(kind, text, what)

    def _blob(
        self, kind: types_pb2.BlobType, path: Path, uri: str, what: str
    ) -> literals_pb2.Literal:
        is_directory = stat.S_ISDIR(_stat(path, what).st_mode)
        wants_directory = kind.dimensionality == types_pb2.BlobType.MULTIPART
        if is_directory != wants_directory:
            left, desired = ("directory", "file") if is_directory else ("file", "directory")
            raise UnfitError(
                f"{what} is declared as a {desired}, and {path} is a {left}", code=_INVALID
            )
        self._tree(path, uri, what)
        metadata = literals_pb2.BlobMetadata(type=kind)
        blob = literals_pb2.Blob(uri=uri, metadata=metadata)
        return literals_pb2.Literal(scalar=literals_pb2.Scalar(blob=blob))

    def _collection(
        self, kind: types_pb2.LiteralType, path: Path, uri: str, what: str
    ) -> literals_pb2.Literal:
        if not stat.S_ISDIR(_stat(path, what).st_mode):
            return _from_json(kind, self._json(path, what), what)
        names = sorted(_entries(path, what), key=_by_number)
        return _list_of(
            self.collect(kind.collection_type, path / name, f"{uri}/{name}", f"{what}[{name}]")
            for name in names
        )

    def _map(
        self, kind: types_pb2.LiteralType, path: Path, uri: str, what: str
    ) -> literals_pb2.Literal:
        if not stat.S_ISDIR(_stat(path, what).st_mode):
            return _from_json(kind, self._json(path, what), what)
        return _map_of(
            {
                name: self.collect(
                    kind.map_value_type, path / name, f"{uri}/{name}", f"{what}[{name!r}]"
                )
                for name in sorted(_entries(path, what))
            }
        )

    def _union(
        self, kind: types_pb2.UnionType, path: Path, uri: str, what: str
    ) -> literals_pb2.Literal:
        """Take the first variant that fits; none fits what is missing, and else comes last."""
        before = len(self.sends)

        def collect(variant: types_pb2.LiteralType) -> literals_pb2.Literal:
            del self.sends[before:]  # of a variant that did not fit after all
            return self.collect(variant, path, uri, what)

        return _first_fitting(kind, collect, what)

    def _tree(self, path: Path, uri: str, what: str) -> None:
        """Note a file, or every file below a directory, for shipping."""
        found = _stat(path, what)
        if stat.S_ISDIR(found.st_mode):
            for name in sorted(_entries(path, what)):
                self._tree(path / name, f"{uri}/{name}", what)
            return
        if not stat.S_ISREG(found.st_mode):
            raise UnfitError(f"{what}: {path} is neither file nor directory", code=_INVALID)
        if len(self.sends) >= self._limits.files:
            raise UnfitError(
                f"the outputs are more than {self._limits.files} files; pack them into an archive",
                code="OutputTooLarge",
            )
        self.sends.append(Send(path, uri, found.st_size))

    def _json(self, path: Path, what: str) -> object:
        try:
            return json.loads(self._read(path, what))
        except ValueError as error:
            raise UnfitError(
                f"{what}: {path} is no JSON; leave JSON, or a directory with a file for each",
                code=_INVALID,
            ) from error

    def _read(self, path: Path, what: str) -> bytes:
        found = _stat(path, what)
        if not stat.S_ISREG(found.st_mode):
            raise UnfitError(f"{what}: {path} is not a file", code=_INVALID)
        limit = self._limits.value_bytes
        if found.st_size > limit:
            raise UnfitError(
                f"{what}: {path} has {found.st_size} bytes, and a value takes at most {limit};"
                " declare it as a File",
                code="OutputTooLarge",
            )
        with checks.opened(path, found.st_size) as file:
            return os.pread(file, found.st_size, 0)


def _value_of(kind: types_pb2.LiteralType, text: str, what: str) -> literals_pb2.Literal:
    is_enum = kind.HasField("enum_type")
    if is_enum and text not in kind.enum_type.values:
        text = text.strip()
        if text not in kind.enum_type.values:
            choices = ", ".join(kind.enum_type.values)
            raise UnfitError(f"{what}: {text[:80]!r} is not one of {choices}", code=_INVALID)
    try:
        scalar = strings.parse_simple(types_pb2.STRING if is_enum else kind.simple, text)
    except ValueError as error:
        raise UnfitError(f"{what}: {error}", code=_INVALID) from error
    return literals_pb2.Literal(scalar=scalar)


def _from_json(kind: types_pb2.LiteralType, value: object, what: str) -> literals_pb2.Literal:
    match kind.WhichOneof("type"), value:
        case "collection_type", list():
            return _list_of(
                _from_json(kind.collection_type, each, f"{what}[{index}]")
                for index, each in enumerate(value)
            )
        case "map_value_type", dict():
            return _map_of(
                {
                    key: _from_json(kind.map_value_type, each, f"{what}[{key!r}]")
                    for key, each in value.items()
                }
            )
        case "union_type", _:
            return _first_fitting(
                kind.union_type, lambda variant: _from_json(variant, value, what), what
            )
        case (("simple" | "enum_type"), _) if _takes(kind, value):
            return _value_of(kind, value if isinstance(value, str) else json.dumps(value), what)
        case desired, _:
            raise UnfitError(f"{what}: {json.dumps(value)[:80]} is no {desired}", code=_INVALID)


def _takes(kind: types_pb2.LiteralType, value: object) -> bool:
    """Whether a value of JSON may be a simple one: null is nothing but null, bytes are no JSON."""
    is_binary = kind.HasField("simple") and kind.simple == types_pb2.BINARY
    return not is_binary and (value is None) == _is_none(kind)


def _first_fitting(
    kind: types_pb2.UnionType,
    attempt: Callable[[types_pb2.LiteralType], literals_pb2.Literal],
    what: str,
) -> literals_pb2.Literal:
    reasons = []
    for variant in sorted(kind.variants, key=_is_none):
        try:
            value = attempt(variant)
        except UnfitError as error:
            reasons.append(error)
            continue
        union = literals_pb2.Union(value=value, type=variant)
        return literals_pb2.Literal(scalar=literals_pb2.Scalar(union=union))
    if reasons and all(error.code == _MISSING for error in reasons):
        raise reasons[0]
    raise UnfitError(
        f"{what} fits none of its types: {'; '.join(map(str, reasons))}", code=_INVALID
    )


def _is_none(kind: types_pb2.LiteralType) -> bool:
    return bool(kind.WhichOneof("type") == "simple" and kind.simple == types_pb2.NONE)


def _list_of(literals: Iterator[literals_pb2.Literal]) -> literals_pb2.Literal:
    return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=literals))


def _map_of(literals: Mapping[str, literals_pb2.Literal]) -> literals_pb2.Literal:
    return literals_pb2.Literal(map=literals_pb2.LiteralMap(literals=literals))


def _entries(path: Path, what: str) -> list[str]:
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise UnfitError(f"{what}: cannot list {path}: {error.strerror}", code=_INVALID) from error
    return [file_name(name, f"a file of {what}", code=_INVALID) for name in names]


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isascii() and name.isdigit() else (-1, name)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _stat(path: Path, what: str) -> os.stat_result:
    try:
        found = os.lstat(path)
    except FileNotFoundError as error:
        raise UnfitError(f"the task left no {path} for its {what}", code=_MISSING) from error
    except OSError as error:
        raise UnfitError(
            f"{what}: cannot look at {path}: {error.strerror}", code=_INVALID
        ) from error
    if stat.S_ISLNK(found.st_mode):
        raise UnfitError(f"{what}: {path} is a symbolic link; leave a copy", code=_INVALID)
    return found
