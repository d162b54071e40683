"""
Generates the console's TypeScript messages from descriptors, of flyteidl2 and of the platform API.

The descriptors are those of the installed packages, so the console's release of flyteidl2 is the
server's by construction. A browser downloads only what the console uses: methods that its sources
call, and messages that these refer to or that the sources import. Options of validation and of
HTTP paths are dropped.
"""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import Message

from scripts.descriptor_pruning import prune

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "console" / "src"
INTO = SOURCES / "gen"
VERSION = INTO / "version.ts"
PLUGIN = ROOT / "console" / "node_modules" / "@bufbuild" / "protoc-gen-es" / "bin" / "protoc-gen-es"

_FLYTE = (
    "flyteidl2.artifact.artifact_service_pb2",
    "flyteidl2.dataproxy.dataproxy_service_pb2",
    "flyteidl2.project.project_service_pb2",
    "flyteidl2.secret.secret_pb2",
    "flyteidl2.settings.settings_service_pb2",
    "flyteidl2.task.task_service_pb2",
    "flyteidl2.trigger.trigger_service_pb2",
    "flyteidl2.workflow.run_service_pb2",
    "flyteidl2.workflow.tracked_run_service_pb2",
    "flyteidl2.workflow.translator_service_pb2",
)
_CALL = re.compile(r"\.(\w+)\(")
_IMPORT = re.compile(r"import (?:type )?\{([^}]*)\} from \"[./]*gen/([\w/]+)_pb\"")
_DROPPED = ("buf/validate/", "google/api/", "protoc-gen-openapiv2/")


def find_modules() -> list[str]:
    """List the modules of messages that the console uses."""
    ours = sorted((ROOT / "shared/idl/platform/v1").glob("*_pb2.py"))
    return [*_FLYTE, *(f"shared.idl.platform.v1.{path.stem}" for path in ours)]


class Uses:
    """Messages and methods that the console's sources name."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._imports: set[tuple[str, str]] = set()
        self._calls: set[str] = set()
        for text in sources:
            self._calls.update(_CALL.findall(text))
            for names, file in _IMPORT.findall(text):
                for name in names.split(","):
                    words = name.split()  # as in: type Secret as PlatformSecret
                    self._imports.update((f"{file}.proto", word) for word in words)

    def calls(self, method: str) -> bool:
        return method[:1].lower() + method[1:] in self._calls

    def names(self, file: str, message: str) -> bool:
        name = message.replace(".", "_")
        return (file, name) in self._imports or (file, f"{name}Schema") in self._imports


def read_sources() -> list[str]:
    """Read the console's own sources."""
    files = [file for file in SOURCES.rglob("*.ts*") if INTO not in file.parents]
    return [file.read_text() for file in files]


def make_request(modules: Iterable[str], uses: Uses) -> CodeGeneratorRequest:
    """Build what protoc would send to its plugin: files with what is used, dependencies first."""
    files: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in files or file.name.startswith(_DROPPED):
            return
        for dependency in file.dependencies:
            add(dependency)
        proto = FileDescriptorProto()
        file.CopyToProto(proto)
        files[file.name] = _strip(proto)

    for module in modules:
        add(importlib.import_module(module).DESCRIPTOR)
    pruned = prune(files.values(), is_called=uses.calls, is_named=uses.names)
    names = [file.name for file in pruned]
    return CodeGeneratorRequest(
        parameter="target=ts,import_extension=none,ts_nocheck=false",
        file_to_generate=[name for name in names if not name.startswith("google/protobuf/")],
        proto_file=pruned,
    )


def _strip(file: FileDescriptorProto) -> FileDescriptorProto:
    kept = [name for name in file.dependency if not name.startswith(_DROPPED)]
    del file.dependency[:]
    file.dependency.extend(kept)
    del file.public_dependency[:]
    _strip_options(file)
    for message in file.message_type:
        _strip_message(message)
    for enum in file.enum_type:
        _strip_options(enum)
    for service in file.service:
        _strip_options(service)
        for method in service.method:
            _strip_options(method)
    return file


def _strip_message(message: DescriptorProto) -> None:
    _strip_options(message)
    for field in message.field:
        field.json_name = _camel(field.name)
        _strip_options(field)
    for oneof in message.oneof_decl:
        _strip_options(oneof)
    for enum in message.enum_type:
        _strip_options(enum)
    for nested in message.nested_type:
        _strip_message(nested)


def _strip_options(element: Message) -> None:
    """Drop extensions of an element's options; those of protobuf itself stay."""
    options: Message = element.options  # type: ignore[attr-defined]
    for field, _ in options.ListFields():
        if field.is_extension:
            options.ClearExtension(field)  # type: ignore[arg-type]
    options.DiscardUnknownFields()
    if not options.ListFields():
        element.ClearField("options")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)


def main(node: str) -> None:
    """Write the files, and remove those of messages that are gone."""
    answer = subprocess.run(  # noqa: S603 - our own command line
        [node, str(PLUGIN)],
        input=make_request(find_modules(), Uses(read_sources())).SerializeToString(),
        capture_output=True,
        check=True,
    ).stdout
    response = CodeGeneratorResponse.FromString(answer)
    if response.error:
        raise SystemExit(f"protoc-gen-es: {response.error}")
    written = {VERSION}
    for file in response.file:
        path = INTO / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, file.content)
        written.add(path)
    release = version("flyteidl2")
    _write(
        VERSION,
        f'/** The release of flyteidl2 of these messages. */\nexport const FLYTEIDL = "{release}";\n',
    )
    for path in INTO.rglob("*.ts"):
        if path not in written:
            path.unlink()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
