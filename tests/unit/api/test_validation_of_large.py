"""Large messages are validated where there are rules, and nowhere else."""

import pytest
from flyteidl2.core.literals_pb2 import Literal, LiteralCollection, Primitive, Scalar
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral

from controlplane.api.validation import validate
from controlplane.core.errors import InvalidError


def _large() -> UploadInputsRequest:
    number = Literal(scalar=Scalar(primitive=Primitive(integer=7)))
    many = Literal(collection=LiteralCollection(literals=[number] * 5_000))
    request = UploadInputsRequest(inputs=Inputs(literals=[NamedLiteral(name="many", value=many)]))
    request.project_id.organization = "acme"
    request.project_id.name = "p"
    request.project_id.domain = "development"
    request.task_id.org = "acme"
    request.task_id.project = "p"
    request.task_id.domain = "development"
    request.task_id.name = "env.task"
    request.task_id.version = "1"
    return request


def test_large_message_that_breaks_a_rule_is_refused_by_name() -> None:
    request = _large()
    request.project_id.name = ""
    with pytest.raises(InvalidError, match=r"project_id\.name"):
        validate(request)


def test_large_valid_message_is_unchanged_by_validation() -> None:
    request = _large()
    before = request.SerializeToString(deterministic=True)
    validate(request)
    assert request.SerializeToString(deterministic=True) == before
