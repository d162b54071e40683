"""
Downloads inputs.pb and writes its values as files below the input directory.

    x (int) → x                  its text                    (strings)
    f (File) → f                 the file; f/<its name> as NAMED_DIR
    d (Dir) → d/…                everything below it
    xs (list) → xs/0, xs/1, …    each as if it were alone; files keep their names as NAMED_DIR
    m (dict) → m/<key>           likewise
    none → null

and inputs.pb (always), inputs.json or inputs.yaml, in which files are local paths.
"""

import json
import logging
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from flyteidl2.core import literals_pb2, types_pb2
from flyteidl2.task import common_pb2
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from dataplane.copilot import checks, strings
from dataplane.copilot.errors import InvalidDataError
from dataplane.copilot.handoff import Format, Handoff, Inputs, Layout
from dataplane.copilot.names import file_name, last_of, relative_path
from dataplane.copilot.transfers import Fetch, Transfers
from dataplane.copilot.urls import ListedBlob

_log = logging.getLogger(__name__)

_DOCUMENTS = {Format.PROTO: "inputs.pb", Format.JSON: "inputs.json", Format.YAML: "inputs.yaml"}
_KICKOFF = "_u_kickoff_time_input_arg"
"""
Key in the inputs' context that names the variable to set to the run's start time.

Elsewhere the SDK sets it; raw containers have no SDK.
"""


def download_inputs(handoff: Handoff, transfers: Transfers) -> None:
    """Download all inputs as files; InvalidDataError if they cannot be represented as files."""
    inputs = parse_inputs(transfers.fetch_bytes(handoff.inputs.uri, handoff.limits.document_bytes))
    fill_kickoff(inputs, handoff.inputs)
    staging = Staging(handoff.inputs.layout, transfers.list_blobs, handoff.limits.files)
    with checks.writing(handoff.inputs.path):
        handoff.inputs.path.mkdir(parents=True, exist_ok=True)
    values: dict[str, object] = {}
    for named in inputs.literals:
        label = f"input {named.name!r}"
        if named.name in _DOCUMENTS.values():
            raise InvalidDataError(
                f"{label} has the name of a document that the copilot writes; rename it",
                code="InputInvalid",
            )
        path = handoff.inputs.path / file_name(named.name, "an input")
        values[named.name] = staging.stage(named.value, path, label)
    transfers.fetch(staging.fetches())
    _write_documents(handoff.inputs, inputs, values)


def parse_inputs(body: bytes) -> common_pb2.Inputs:
    try:
        return common_pb2.Inputs.FromString(body)
    except DecodeError as error:
        raise InvalidDataError(
            f"inputs.pb is not a flyteidl2.task.Inputs: {error}", code="InputInvalid"
        ) from error


def fill_kickoff(inputs: common_pb2.Inputs, settings: Inputs) -> None:
    """Set the variable that the inputs' context names, if any, to the run's start time."""
    names = [pair.value for pair in inputs.context if pair.key == _KICKOFF]
    if not names or settings.run_started_at is None:
        return
    literal = next((named.value for named in inputs.literals if named.name == names[0]), None)
    if literal is None:
        literal = inputs.literals.add(name=names[0]).value
    literal.Clear()
    literal.scalar.primitive.datetime.FromDatetime(settings.run_started_at)


class Staging:
    """
    Writes small values as files, and collects the blobs to download.

    Modifies the literals: the URIs of their blobs become local paths.
    """

    def __init__(
        self,
        layout: Layout,
        list_blobs: Callable[[str], Iterable[ListedBlob]],
        max_files: int,
    ) -> None:
        self._layout = layout
        self._list_blobs = list_blobs
        self._left = max_files
        self._fetches: list[Iterable[Fetch]] = []

    def fetches(self) -> Iterator[Fetch]:
        """Iterate over the blobs to download; directories are listed lazily."""
        return chain.from_iterable(self._fetches)

    def stage(self, literal: literals_pb2.Literal, path: Path, label: str) -> object:
        """Write or collect the value's files at ``path``; return its JSON representation."""
        match literal.WhichOneof("value"):
            case "scalar":
                return self._scalar(literal.scalar, path, label)
            case "collection":
                return self._collection(literal.collection, path, label)
            case "map":
                self._make(path)
                return {
                    key: self.stage(
                        literal.map.literals[key],
                        path / file_name(key, f"a key of {label}"),
                        f"{label}[{key!r}]",
                    )
                    for key in sorted(literal.map.literals)
                }
            case None:
                return self._write(path, strings.NULL.encode(), None)
            case other:
                raise _unsupported(label, str(other))

    def _collection(
        self, collection: literals_pb2.LiteralCollection, path: Path, label: str
    ) -> list[object]:
        self._make(path)
        taken: set[str] = set()
        values: list[object] = []
        for index, literal in enumerate(collection.literals):
            each = f"{label}[{index}]"
            if self._layout is Layout.NAMED_DIR and _is_file(literal):
                name = _free(last_of(literal.scalar.blob.uri) or str(index), taken)
                taken.add(name)
                values.append(self._file(literal.scalar.blob, path / file_name(name, each)))
            else:
                values.append(self.stage(literal, path / str(index), each))
        return values

    def _scalar(self, scalar: literals_pb2.Scalar, path: Path, label: str) -> object:
        match scalar.WhichOneof("value"):
            case "primitive":
                text = strings.render_primitive(scalar.primitive)
                return self._write(path, text.encode(), _json_of(scalar.primitive, text))
            case "blob" if _is_single(scalar.blob):
                if self._layout is Layout.DIRECT:
                    return self._file(scalar.blob, path)
                self._make(path)
                name = last_of(scalar.blob.uri) or path.name
                return self._file(scalar.blob, path / file_name(name, f"the file of {label}"))
            case "blob" | "schema" | "structured_dataset" as kind:
                return self._directory(getattr(scalar, kind), path, label)
            case "binary":
                value = scalar.binary.value
                return self._write(path, value, b64encode(value).decode())
            case "generic":
                tree = json.loads(json_format.MessageToJson(scalar.generic), parse_float=_number)
                return self._write(path, json.dumps(tree).encode(), tree)
            case "error":
                return self._write(path, scalar.error.message.encode(), scalar.error.message)
            case "union":
                return self.stage(scalar.union.value, path, label)
            case "none_type" | None:
                return self._write(path, strings.NULL.encode(), None)
            case other:
                raise _unsupported(label, str(other))

    def _file(self, blob: literals_pb2.Blob, path: Path) -> str:
        self._count()
        self._fetches.append([Fetch(blob.uri, path)])
        blob.uri = str(path)
        return str(path)

    def _directory(
        self,
        blob: literals_pb2.Blob | literals_pb2.Schema | literals_pb2.StructuredDataset,
        path: Path,
        label: str,
    ) -> str:
        self._make(path)
        self._fetches.append(self._below(blob.uri.rstrip("/"), path, label))
        blob.uri = str(path)
        return str(path)

    def _below(self, uri: str, root: Path, label: str) -> Iterator[Fetch]:
        made: set[Path] = set()
        for blob in self._list_blobs(uri):
            if blob.path.endswith("/") or not blob.path:
                continue  # a placeholder that some tools create for a directory
            path = root / relative_path(blob.path, label)
            if path.parent not in made:
                self._make(path.parent)
                made.add(path.parent)
            self._count()
            yield Fetch(f"{uri}/{blob.path}", path)

    def _write(self, path: Path, content: bytes, value: object) -> object:
        self._count()
        with checks.writing(path):
            path.write_bytes(content)
        return value

    def _make(self, path: Path) -> None:
        with checks.writing(path):
            path.mkdir(parents=True, exist_ok=True)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise InvalidDataError(
                "the inputs are more files than the limit of the copilot; pack them into an archive",
                code="InputTooLarge",
            )


def _is_file(literal: literals_pb2.Literal) -> bool:
    return literal.scalar.HasField("blob") and _is_single(literal.scalar.blob)


def _is_single(blob: literals_pb2.Blob) -> bool:
    return bool(blob.metadata.type.dimensionality == types_pb2.BlobType.SINGLE)


def _free(name: str, taken: set[str]) -> str:
    """Return ``name``, or ``1_name``, ``2_name``, … if it is taken."""
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{number}_{name}"
    return free


def _json_of(primitive: literals_pb2.Primitive, text: str) -> object:
    """Return a JSON value; NaN, infinities (JSON has none), timestamps and durations are strings."""
    match primitive.WhichOneof("value"):
        case "integer":
            return int(primitive.integer)
        case "boolean":
            return bool(primitive.boolean)
        case "float_value" if text[-1].isdigit():
            return float(primitive.float_value)
        case _:
            return text


def _number(text: str) -> float:
    """Return an integer for a number without fraction, because a Struct has floats only."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _write_documents(
    settings: Inputs, inputs: common_pb2.Inputs, values: dict[str, object]
) -> None:
    documents = {Format.PROTO: common_pb2.Inputs(literals=inputs.literals).SerializeToString()}
    if settings.format is Format.JSON:
        documents[Format.JSON] = json.dumps(values, allow_nan=False).encode()
    if settings.format is Format.YAML:
        import yaml  # noqa: PLC0415 - slow, and rarely needed

        documents[Format.YAML] = yaml.safe_dump(
            values, sort_keys=False, allow_unicode=True, encoding="utf-8"
        )
    for kind, body in documents.items():
        path = settings.path / _DOCUMENTS[kind]
        with checks.writing(path):
            path.write_bytes(body)


def _unsupported(label: str, kind: str) -> InvalidDataError:
    return InvalidDataError(
        f"{label} is a {kind}, which cannot be passed to a raw container; use a file or a simple"
        " type",
        code="InputInvalid",
    )
