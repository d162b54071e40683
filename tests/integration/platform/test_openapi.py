"""
The OpenAPI document is what the API does.

Every exchange of the tests in this folder is held to it (``world.Person``); these tests go through
all RPCs.
"""

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from controlplane.web.openapi import PATH
from tests.integration.platform.openapi import document, find_problems, is_request
from tests.integration.platform.samples import RPCS, sample
from tests.integration.platform.world import World


def test_document_describes_every_rpc_of_plain_json() -> None:
    described = {path.removeprefix("/volary.platform.v1.") for path in document()["paths"]}
    assert described == set(RPCS)


@pytest.mark.parametrize("rpc", RPCS)
def test_document_and_messages_allow_the_same_requests(rpc: str) -> None:
    message = GetMessageClass(RPCS[rpc].input_type)
    full = sample(RPCS[rpc].input_type)
    ParseDict(full, message())
    assert is_request(rpc, full)
    assert not is_request(rpc, {**full, "unknown": 1})
    for field in full:
        assert not is_request(rpc, {**full, field: {"unknown": [None]}}), field


async def test_every_rpc_answers_as_the_document_says(world: World) -> None:
    statuses = set()
    for rpc, method in RPCS.items():
        for person, request in (
            (world.ada, {}),
            (world.ada, sample(method.input_type)),
            (world.ada, {"unknown": 1}),
        ):
            answer = await person.post(rpc, request)
            assert find_problems(rpc, request, answer) == [], (rpc, request)
            assert answer.status_code < 500, (rpc, answer.text)
            statuses.add(answer.status_code)
        anonymous = await world.http.post(f"/volary.platform.v1.{rpc}", json={})
        assert (anonymous.status_code, find_problems(rpc, {}, anonymous)) == (401, [])
    assert {200, 400, 404} <= statuses


async def test_document_is_public(world: World) -> None:
    answer = await world.http.get(PATH)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document()
