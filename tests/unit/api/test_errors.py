"""Each refusal has its code, and nothing else is told."""

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from controlplane.api.errors import CODES, answer_for
from controlplane.core import errors


def refusals(kind: type[Exception] = errors.RequestError) -> set[type[Exception]]:
    return {each for sub in kind.__subclasses__() for each in {sub, *refusals(sub)}}


def test_request_error_has_a_connect_code() -> None:
    """Its own, or that of a class above it, as ``answer_for`` looks for it."""
    for kind in refusals() | {errors.UnavailableError}:
        assert set(kind.__mro__) & set(CODES), kind


def test_request_error_keeps_its_message() -> None:
    answer = answer_for(errors.NotFoundError("run", "p/d/r"), rpc="x", request_id="1")
    assert (answer.code, answer.message) == (Code.NOT_FOUND, "run p/d/r not found")


def test_connect_error_is_returned_unchanged() -> None:
    error = ConnectError(Code.ABORTED, "as it is")
    assert answer_for(error, rpc="x", request_id="1") is error


def test_internal_error_is_logged_and_hidden_from_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = answer_for(KeyError("password"), rpc="x", request_id="42")

    assert answer.code is Code.INTERNAL
    assert "password" not in answer.message
    assert "42" in answer.message
    assert caplog.records[0].exc_info
