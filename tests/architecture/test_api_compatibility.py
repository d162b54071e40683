"""Agents, clients and providers of an earlier release keep working: APIs only grow."""

import copy
import json

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts import api_baseline
from shared.idl.platform.v1 import org_pb2


def test_api_keeps_everything_that_its_baseline_has() -> None:
    removed = api_baseline.find_removed(api_baseline.read(), api_baseline.describe_all())
    assert removed == [], api_baseline.REMEDY


def test_api_baseline_has_everything_that_is_new() -> None:
    now, baseline = api_baseline.describe_all(), api_baseline.read()
    assert baseline.keys() == now.keys()
    added = {name: sorted({*now[name]} - {*baseline[name]}) for name in now}
    assert not any(added.values()), f"run make generate, which accepts them: {added}"


def changed(**changes: object) -> list[str]:
    """Return the lines that are gone after changes to the first field of the first message."""
    before, after = FileDescriptorSet(), FileDescriptorSet()
    org_pb2.DESCRIPTOR.CopyToProto(before.file.add())
    after.CopyFrom(before)
    for name, value in changes.items():
        setattr(after.file[0].message_type[0].field[0], name, value)
    return missing(before, after)


def missing(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    lines = {"f": list(api_baseline.describe_rules(before))}
    now = {"f": list(api_baseline.describe_rules(after))}
    return list(api_baseline.find_removed(lines, now))


@pytest.mark.parametrize(
    "changes", [{"number": 99}, {"name": "renamed"}, {"type": 3}, {"label": 3}], ids=str
)
def test_field_that_is_renumbered_renamed_or_retyped_is_found(changes: dict[str, object]) -> None:
    [line] = changed(**changes)
    assert " field 1 " in line


def test_message_field_rpc_or_enum_value_that_is_removed_is_found() -> None:
    before = FileDescriptorSet()
    org_pb2.DESCRIPTOR.CopyToProto(before.file.add())
    after = copy.deepcopy(before)
    del after.file[0].message_type[0].field[0]
    assert " field 1 " in missing(before, after)[0]
    after = copy.deepcopy(before)
    removed = after.file[0].service[0].method[0].name
    del after.file[0].service[0].method[0]
    assert f" rpc {removed}(" in missing(before, after)[0]


def test_addition_is_compatible() -> None:
    before = FileDescriptorSet()
    org_pb2.DESCRIPTOR.CopyToProto(before.file.add())
    after = copy.deepcopy(before)
    after.file[0].message_type[0].field.add(name="added", number=99, type=9, label=1)
    assert missing(before, after) == []


def test_http_path_parameter_or_property_that_is_removed_or_required_is_found() -> None:
    document = json.loads((api_baseline.ROOT / api_baseline._HTTP).read_text())
    before = {"f": list(api_baseline.describe_http(document))}

    def gone() -> str:
        return "\n".join(api_baseline.find_removed(before, {"f": lines_of(document)}))

    path = "/api/v1/orgs/{org}/domains"
    operation = document["paths"][path]["get"]
    operation["parameters"].append({"name": "new", "in": "query", "schema": {"type": "string"}})
    assert gone() == ""  # an addition
    del document["paths"][path]["get"]
    assert f"GET {path} id get_domains" in gone()

    schema = document["components"]["schemas"]["org.ListDomainsResponse"]
    first = next(iter(schema["properties"]))
    schema["required"] = [first]
    assert f"org.ListDomainsResponse property {first} is optional" in gone()


def lines_of(document: dict[str, object]) -> list[str]:
    return list(api_baseline.describe_http(document))
