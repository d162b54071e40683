"""The console's messages: what its sources call and name, and nothing else."""

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from scripts.console_types import Uses, find_modules, make_request

_SOURCES = (
    'import { type Tree, TreeRowSchema } from "../../gen/shared/idl/platform/v1/run_tree_pb";\n',
    "const answer = await logs.readLines({ ...at, limit: 1 }, { signal });",
)


def _files(*sources: str) -> dict[str, FileDescriptorProto]:
    request = make_request(find_modules(), Uses(sources))
    return {file.name: file for file in request.proto_file}


def _messages(file: FileDescriptorProto) -> set[str]:
    return {message.name for message in file.message_type}


def test_console_types_have_the_called_methods_with_their_messages_alone() -> None:
    log = _files(*_SOURCES)["shared/idl/platform/v1/log.proto"]
    assert [method.name for method in log.service[0].method] == ["ReadLines"]
    assert _messages(log) == {"ReadLinesRequest", "ReadLinesResponse", "LogLine"}
    assert list(log.dependency) == ["google/protobuf/timestamp.proto"]


def test_console_types_have_the_imported_messages_with_all_that_they_refer_to() -> None:
    files = _files(*_SOURCES)
    tree = files["shared/idl/platform/v1/run_tree.proto"]
    assert not tree.service
    assert {"Tree", "TreeRow", "TreeAttempt", "TreeFold", "PhaseCount"} <= _messages(tree)
    assert "TreeView" not in _messages(tree)
    assert not any(name.startswith("flyteidl2/") for name in files)


def test_console_types_import_each_file_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for name, file in _files("runs.getActionDetails({ actionId })").items():
        assert set(file.dependency) <= seen, name
        seen.add(name)
    assert "flyteidl2/workflow/run_service.proto" in seen


def test_console_types_have_no_extensions_whose_options_would_be_missing() -> None:
    for name, file in _files("projects.listProjects({})", "runs.getRunDetails({})").items():
        if not name.startswith("google/protobuf/"):
            assert not file.extension, name
            assert "google/protobuf/descriptor.proto" not in file.dependency, name
