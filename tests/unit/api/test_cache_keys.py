"""Cache keys of roots and hashes of inputs equal those that the SDK computes for children."""

import msgpack
from flyte._internal.runtime import convert as sdk
from flyteidl2.core.interface_pb2 import TypedInterface
from flyteidl2.core.literals_pb2 import Binary, Literal
from flyteidl2.core.tasks_pb2 import TaskTemplate
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.task_definition_pb2 import TaskSpec

from controlplane.api.convert.cache_keys import NO_INPUTS, hash_inputs, root_key
from controlplane.api.convert.data import prepare_inputs


def make_binary(value: object) -> Literal:
    literal = Literal()
    literal.scalar.binary.CopyFrom(Binary(value=msgpack.packb(value), tag="msgpack"))
    return literal


def make_inputs() -> Inputs:
    inputs = Inputs()
    number, hashed = Literal(), Literal(hash="content")
    number.scalar.primitive.integer = 7
    hashed.scalar.blob.uri = "s3://b/one"
    inputs.literals.add(name="b", value=number)
    inputs.literals.add(name="a", value=hashed)
    inputs.literals.add(name="d", value=make_binary({"y": [1, {"z": 1, "b": 2}], "x": 2}))
    listed, mapped = Literal(), Literal()
    listed.collection.literals.extend([number, hashed])
    mapped.map.literals["k2"].CopyFrom(hashed)
    mapped.map.literals["k1"].CopyFrom(number)
    inputs.literals.add(name="l", value=listed)
    inputs.literals.add(name="m", value=mapped)
    return inputs


def make_template() -> TaskTemplate:
    template = TaskTemplate()
    template.id.name = "env.main"
    template.metadata.discovery_version = "v1"
    template.interface.inputs.variables.add(key="b").value.type.simple = 1
    template.interface.inputs.variables.add(key="a").value.type.simple = 2
    return template


def sdk_key(template: TaskTemplate, inputs: Inputs, ignored: list[str]) -> str:
    key: str = sdk.generate_cache_key_hash(
        template.id.name,
        sdk.generate_inputs_hash_from_proto(inputs),
        template.interface,
        template.metadata.discovery_version,
        ignored,
        inputs,
    )
    return key


def test_root_key_equals_the_key_of_a_child_with_the_same_inputs() -> None:
    template, inputs = make_template(), make_inputs()
    for ignored in ([], ["a"], ["a", "d", "l", "m"]):
        found = root_key(template, hash_inputs(inputs.literals, ignored))
        assert found == sdk_key(template, inputs, ignored)


def test_root_key_without_inputs_that_count_equals_the_childs() -> None:
    template, inputs = make_template(), make_inputs()
    names = [each.name for each in inputs.literals]
    assert hash_inputs(inputs.literals, names) == NO_INPUTS
    assert root_key(template, NO_INPUTS) == sdk_key(template, inputs, names)


def test_root_key_does_not_depend_on_descriptions() -> None:
    described = make_template()
    interface: TypedInterface = described.interface
    interface.inputs.variables[0].value.description = "from a docstring"
    assert root_key(described, "h") == root_key(make_template(), "h")


def test_order_of_keys_in_a_dict_does_not_change_the_hash() -> None:
    one, other = Inputs(), Inputs()
    one.literals.add(name="d", value=make_binary({"x": 1, "y": 2}))
    other.literals.add(name="d", value=make_binary({"y": 2, "x": 1}))
    assert hash_inputs(one.literals, ()) == hash_inputs(other.literals, ())


def test_lists_within_lists_have_a_hash_of_their_own() -> None:
    number = make_inputs().literals[0].value
    pair, single = Literal(), Literal()
    pair.collection.literals.extend([number, number])
    single.collection.literals.append(number)
    one, other = Inputs(), Inputs()
    one.literals.add(name="l").value.collection.literals.append(pair)
    other.literals.add(name="l").value.collection.literals.extend([single, single])
    assert hash_inputs(one.literals, ()) != hash_inputs(other.literals, ())


def test_hash_of_a_root_follows_the_order_of_the_interface() -> None:
    spec, swapped = TaskSpec(task_template=make_template()), Inputs()
    ordered = [each for each in make_inputs().literals if each.name in "ab"]
    swapped.literals.extend(reversed(ordered))
    assert [each.name for each in ordered] == ["b", "a"]
    assert prepare_inputs(swapped, spec).hash == hash_inputs(ordered, ())


def test_bytes_that_are_no_msgpack_are_hashed_as_they_are() -> None:
    for value in (b"\xc1", b"\x92\x01", b"\x81\x90\x01", b"\x91" * 5000):
        literal = Literal()
        literal.scalar.binary.CopyFrom(Binary(value=value, tag="msgpack"))
        inputs = Inputs()
        inputs.literals.add(name="d", value=literal)
        assert hash_inputs(inputs.literals, ()) == sdk.generate_inputs_hash_from_proto(inputs)
