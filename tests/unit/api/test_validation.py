"""Every rule of flyteidl2 can be compiled and evaluated, whatever a message holds."""

from collections.abc import Iterator
from typing import Any

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.task.run_pb2 import InlineRule
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings, strategies as st
from protovalidate import Validator

from controlplane.api.orgs import fill_org
from controlplane.api.server import services
from controlplane.api.validation import validate
from controlplane.core.errors import InvalidError

SUCCEEDED, FAILED, PAUSED = (
    ActionPhase.ACTION_PHASE_SUCCEEDED,
    ActionPhase.ACTION_PHASE_FAILED,
    ActionPhase.ACTION_PHASE_PAUSED,
)


def _methods() -> Iterator[MethodDescriptor]:
    for service in services():
        yield from service.methods


METHODS = {f"{m.containing_service.name}/{m.name}": m for m in _methods()}


def _create_run(*phases: int) -> CreateRunRequest:
    request = CreateRunRequest()
    request.run_id.org = "acme"
    request.run_id.project = "p"
    request.run_id.domain = "development"
    request.run_id.name = "r1"
    request.task_spec.task_template.id.name = "env.task"
    request.task_spec.short_name = "task"
    request.run_spec.notification_rules.rules.add(on_phases=phases, delivery_config_name="pager")
    return request


@pytest.mark.parametrize(
    "phases", [(SUCCEEDED,), (SUCCEEDED, FAILED), (FAILED, SUCCEEDED), (PAUSED,)]
)
def test_notification_rule_may_name_any_number_of_phases(phases: tuple[int, ...]) -> None:
    validate(_create_run(*phases))


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ((), "at least 1 item"),
        ((PAUSED, FAILED), "PAUSED must not subscribe to other phases"),
        ((SUCCEEDED, 99), "on_phases"),
    ],
)
def test_notification_rule_that_breaks_its_rules_is_named(
    phases: tuple[int, ...], words: str
) -> None:
    with pytest.raises(InvalidError, match=words):
        validate(_create_run(*phases))


def test_large_request_with_notification_rule_is_validated() -> None:
    request = _create_run(SUCCEEDED, FAILED)
    request.task_spec.task_template.container.args.append("x" * 20_000)
    validate(request)
    request.run_id.name = ""
    with pytest.raises(InvalidError, match="name"):
        validate(request)


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Draw values at the edges of a field's type."""
    match field.cpp_type:
        case field.CPPTYPE_INT32 | field.CPPTYPE_ENUM:
            return st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)])
        case field.CPPTYPE_INT64:
            return st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)])
        case field.CPPTYPE_UINT32:
            return st.sampled_from([0, 1, 2**32 - 1])
        case field.CPPTYPE_UINT64:
            return st.sampled_from([0, 1, 2**64 - 1])
        case field.CPPTYPE_DOUBLE | field.CPPTYPE_FLOAT:
            return st.sampled_from([0.0, -1.0, float("inf"), float("nan")])
        case field.CPPTYPE_BOOL:
            return st.booleans()
        case _:
            texts = st.sampled_from(["", "a", "\0", "é" * 40, "x" * 300, "http://", "a.b:c"])
            return texts if field.type == field.TYPE_STRING else texts.map(str.encode)


@st.composite
def _messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 4) -> Message:
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if not draw(st.booleans()):
            continue
        if field.message_type is None:
            if field.is_repeated:
                values = draw(st.lists(_values(field), max_size=3))
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, draw(_values(field)))
        elif depth and not field.message_type.GetOptions().map_entry:
            part = draw(_messages(field.message_type, depth - 1))
            if field.is_repeated:
                getattr(message, field.name).append(part)
            else:
                getattr(message, field.name).CopyFrom(part)
    return message


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_validation_of_any_request_passes_or_names_the_rule(
    method: MethodDescriptor, data: st.DataObject
) -> None:
    request = data.draw(_messages(method.input_type))
    fill_org(request, "acme")
    refusal = ""
    try:
        validate(request)
    except InvalidError as error:
        refusal = str(error)
    assert "could not be evaluated" not in refusal


def test_rule_that_cannot_be_evaluated_refuses_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controlplane.api.validation._validator_of_copies", Validator())
    monkeypatch.setattr("controlplane.api.validation.copy_with_numbered_enums", lambda m: m)
    with pytest.raises(InvalidError, match="CreateRunRequest"):
        validate(_create_run(SUCCEEDED, FAILED))
    with pytest.raises(InvalidError, match="paused_rule_exclusive"):
        validate(InlineRule(on_phases=[SUCCEEDED, FAILED], delivery_config_name="pager"))
