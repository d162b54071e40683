"""Inputs that a raw container's arguments mention by name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import flyte
import pytest
from flyteidl2.core import literals_pb2
from flyteidl2.task import common_pb2
from google.protobuf import json_format, struct_pb2

from dataplane.agent.runtimes.kubernetes.pods import needs_inputs, with_inputs
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    build,
    main_container,
    make_raw,
    make_task,
    serialise,
)


def primitive(**value: Any) -> literals_pb2.Literal:
    return literals_pb2.Literal(
        scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(**value))
    )


def make_inputs(**literals: literals_pb2.Literal) -> bytes:
    named = [common_pb2.NamedLiteral(name=name, value=value) for name, value in literals.items()]
    return bytes(common_pb2.Inputs(literals=named).SerializeToString())


def asking_for(*arguments: str) -> Any:
    return make_raw(command=["echo"], arguments=list(arguments))


def raw(value: literals_pb2.Literal) -> str:
    job = with_inputs(asking_for("{{.inputs.x}}"), make_inputs(x=value))
    return str(main_container(build(job))["args"][1])


def test_inputs_are_needed_only_by_templates_that_name_them() -> None:
    assert needs_inputs(asking_for("a", "--name={{.inputs.name}}"))
    assert needs_inputs(asking_for("{{ .Inputs.name }}"))
    assert not needs_inputs(asking_for("/var/inputs/name", "{{.runName}}"))
    assert not needs_inputs(serialise(make_task()))


def test_values_are_put_where_they_are_mentioned() -> None:
    job = asking_for("--from={{.inputs.a}}..{{ .Inputs.b }}", "{{.runName}}")
    filled = with_inputs(job, make_inputs(a=primitive(integer=1), b=primitive(string_value="z")))

    assert main_container(build(filled))["args"] == ["echo", "--from=1..z", "r1"]
    assert needs_inputs(job)  # what was handed in is as it was


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (primitive(integer=-7), "-7"),
        (primitive(float_value=1.0), "1"),
        (primitive(float_value=0.5), "0.5"),
        (primitive(boolean=True), "true"),
        (primitive(string_value="two words"), "two words"),
        (primitive(datetime=datetime(2026, 1, 2, tzinfo=UTC)), "2026-01-02T00:00:00Z"),
        (primitive(duration=timedelta(minutes=1, seconds=2)), "1m2s"),
        (literals_pb2.Literal(scalar={"blob": {"uri": "s3://b/k"}}), "s3://b/k"),
        (literals_pb2.Literal(scalar={"none_type": {}}), ""),
        (
            literals_pb2.Literal(
                collection={"literals": [primitive(integer=1), primitive(integer=2)]}
            ),
            "[1,2]",
        ),
        (
            literals_pb2.Literal(
                scalar={"generic": json_format.ParseDict({"a": [True]}, struct_pb2.Struct())}
            ),
            '{"a": [true]}',
        ),
    ],
)
def test_input_value_is_rendered_as_by_the_copilot(value: literals_pb2.Literal, text: str) -> None:
    assert raw(value) == text


def test_input_value_is_expanded_once() -> None:
    assert raw(primitive(string_value="{{.inputs.x}} $(RUN_NAME)")) == (
        "{{.inputs.x}} $$(RUN_NAME)"
    )


def test_pod_template_containers_are_expanded() -> None:
    job = make_raw(
        command=["echo"], arguments=["{{.inputs.x}}"], pod_template=flyte.PodTemplate(labels={})
    )
    filled = with_inputs(job, make_inputs(x=primitive(string_value="$(A)")))

    assert needs_inputs(job)
    assert main_container(build(filled))["args"] == ["echo", "$$(A)"]


def test_input_without_text_form_is_refused_with_the_remedy() -> None:
    binary = literals_pb2.Literal(scalar={"binary": {"value": b"\x00", "tag": "msgpack"}})

    with pytest.raises(
        BadSpecError, match="input 'x' is not a string, number, file or list of these"
    ):
        raw(binary)
    with pytest.raises(BadSpecError, match="refers to the input 'x', which does not exist"):
        with_inputs(asking_for("{{.inputs.x}}"), make_inputs())
    with pytest.raises(BadSpecError, match="too long for an argument; read its file"):
        raw(primitive(string_value="x" * 200_000))
    with pytest.raises(BadSpecError, match=r"inputs\.pb is no"):
        with_inputs(asking_for("{{.inputs.x}}"), b"\xff\xff")
