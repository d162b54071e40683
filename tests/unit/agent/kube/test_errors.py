"""Tests of the API's error classes, and of the retry of transient errors."""

from datetime import timedelta

import pytest

from dataplane.agent.kube.errors import (
    BusyError,
    ConflictError,
    ExistsError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnauthorizedError,
    UnreachableError,
    parse_status,
)
from dataplane.agent.kube.retries import call_with_retries


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", InvalidError),
        (401, "Unauthorized", UnauthorizedError),
        (403, "Forbidden", ForbiddenError),
        (404, "NotFound", NotFoundError),
        (409, "AlreadyExists", ExistsError),
        (409, "Conflict", ConflictError),
        (410, "Expired", ExpiredError),
        (410, "Gone", ExpiredError),
        (422, "Invalid", InvalidError),
        (429, "TooManyRequests", BusyError),
        (500, "InternalError", KubeError),
        (503, "ServiceUnavailable", BusyError),
        (504, "Timeout", BusyError),
    ],
)
def test_kube_error_class_follows_status(code: int, reason: str, kind: type[KubeError]) -> None:
    error = parse_status({"code": code, "reason": reason, "message": "said"})

    assert type(error) is kind
    assert str(error) == f"said ({code} {reason})"
    assert error.passing == (code in (429, 500, 503, 504))


def test_busy_error_has_retry_after() -> None:
    by_header = parse_status({"code": 429}, retry_after="3")
    by_body = parse_status({"code": 503, "details": {"retryAfterSeconds": 2}})
    unsaid = parse_status({"code": 429}, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")

    assert isinstance(by_header, BusyError)
    assert isinstance(by_body, BusyError)
    assert isinstance(unsaid, BusyError)
    assert by_header.retry_after == timedelta(seconds=3)
    assert by_body.retry_after == timedelta(seconds=2)
    assert unsaid.retry_after is None


async def test_transient_error_is_retried_and_others_raised() -> None:
    answers: list[object] = [UnreachableError("no"), BusyError(503, "", "no"), "done"]

    async def call() -> object:
        answer = answers.pop(0)
        if isinstance(answer, KubeError):
            raise answer
        return answer

    assert await call_with_retries(call, retry_timeout=None) == "done"

    answers = [NotFoundError(404, "NotFound", "no"), "done"]
    with pytest.raises(NotFoundError):
        await call_with_retries(call, retry_timeout=None)


async def test_retry_timeout_raises_last_error() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise UnreachableError("no")

    with pytest.raises(UnreachableError):
        await call_with_retries(call, retry_timeout=timedelta(0))
    assert calls == 1


async def test_retry_timeout_limits_server_retry_after() -> None:
    async def call() -> None:
        raise BusyError(429, "TooManyRequests", "no", timedelta(hours=1))

    with pytest.raises(BusyError):
        await call_with_retries(call, retry_timeout=timedelta(seconds=1))
