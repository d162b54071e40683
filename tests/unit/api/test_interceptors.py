"""
Checks before every method: permission and deadline, and the errors of both.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import Headers, RequestContext
from flyteidl2.auth.identity_pb2 import UserInfoRequest, UserInfoResponse
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry

from controlplane.api import server
from controlplane.api.interceptors import Interceptors, Rpc
from controlplane.api.metrics import CallMetrics
from controlplane.api.permissions import PERMISSIONS, Access
from controlplane.authn.anonymous import Anonymous
from controlplane.core.callers import Caller, Permission, Subject, org_wide
from controlplane.core.errors import NotFoundError
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName

ORG = OrgName("acme")


class Granted(Anonymous):
    """Lets in a caller with these grants."""

    def __init__(self, *grants: Permission) -> None:
        super().__init__(ORG)
        self._caller = Caller(subject=Subject("ada"), org=ORG, name="Ada", grants=org_wide(grants))


def context(
    *, peer: str = "127.0.0.1:1", timeout_ms: int | None = None
) -> RequestContext[Any, Any]:
    return RequestContext[Any, Any](
        method=None,  # type: ignore[arg-type]  # nobody asks
        http_method="POST",
        request_headers=Headers(),
        timeout_ms=timeout_ms,
        client_address=peer,
    )


def interceptors(authn: Anonymous) -> Interceptors:
    return Interceptors(authn, CallMetrics(CollectorRegistry()), SystemClock())


async def never(_caller: Caller, _request: Any) -> UserInfoResponse:
    raise AssertionError("the method was called")


async def never_streamed(caller: Caller, request: Any) -> AsyncIterator[UserInfoResponse]:
    yield await never(caller, request)


async def refused(call: Any) -> ConnectError:
    with pytest.raises(ConnectError) as raised:
        await call
    return raised.value


async def test_rpc_without_its_permission_is_refused() -> None:
    around = interceptors(Granted())
    for service in server.services():
        for method in service.methods:
            access = PERMISSIONS[service.full_name][method.name]
            if not isinstance(access, Permission):
                continue
            rpc = Rpc(f"{service.full_name}/{method.name}", access)
            request = GetMessageClass(method.input_type)()
            if method.server_streaming:
                call = anext(around.stream(rpc, never_streamed)(request, context()))
            else:
                call = around.unary(rpc, never)(request, context())
            answer = await refused(call)
            assert answer.code is Code.PERMISSION_DENIED, rpc.name
            assert access in answer.message


async def test_unauthenticated_caller_reaches_public_rpcs_only() -> None:
    async def user_info(_caller: Caller, _request: Any) -> UserInfoResponse:
        return UserInfoResponse(subject=_caller.subject)

    around = interceptors(Anonymous(ORG))
    elsewhere = context(peer="192.0.2.1:80")

    known = await refused(
        around.unary(Rpc("x", Access.KNOWN), user_info)(UserInfoRequest(), elsewhere)
    )
    assert known.code is Code.UNAUTHENTICATED
    public = await around.unary(Rpc("x", Access.PUBLIC), user_info)(UserInfoRequest(), elsewhere)
    assert public == UserInfoResponse()


async def test_call_ends_at_its_callers_timeout() -> None:
    async def hang(_caller: Caller, _request: Any) -> UserInfoResponse:
        await asyncio.Event().wait()
        return UserInfoResponse()

    answer = await refused(
        interceptors(Anonymous(ORG)).unary(Rpc("x", Access.KNOWN), hang)(
            UserInfoRequest(), context(timeout_ms=1)
        )
    )

    assert answer.code is Code.DEADLINE_EXCEEDED
    assert "try again" in answer.message


async def test_stream_is_closed_when_its_reader_leaves() -> None:
    closed = asyncio.Event()

    async def watch(_caller: Caller, _request: Any) -> AsyncIterator[UserInfoResponse]:
        try:
            yield UserInfoResponse()
            await asyncio.Event().wait()
        finally:
            closed.set()

    answers: Any = interceptors(Anonymous(ORG)).stream(Rpc("x", Access.KNOWN), watch)(
        UserInfoRequest(), context()
    )
    await anext(answers)
    await answers.aclose()

    assert closed.is_set()


async def test_stream_that_fails_midway_ends_with_its_error() -> None:
    async def watch(_caller: Caller, _request: Any) -> AsyncIterator[UserInfoResponse]:
        yield UserInfoResponse()
        raise NotFoundError("run", "r1")

    answers: Any = interceptors(Anonymous(ORG)).stream(Rpc("x", Access.KNOWN), watch)(
        UserInfoRequest(), context()
    )
    await anext(answers)

    assert (await refused(anext(answers))).code is Code.NOT_FOUND
