"""Conditions that call a webhook, and addresses by which the receiver answers them."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from connectrpc.code import Code
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.workflow import run_service_pb2 as run_pb
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import text

from controlplane.core.callbacks import LIFETIME
from controlplane.loops.deliveries import DeliveryLoop
from shared.kit.clock import SystemClock
from tests.integration.api.client import ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import action_id, create_run, enqueue_condition, refusal
from tests.integration.loops.receivers import OPEN
from tests.integration.runs import make_deliveries
from tests.servers.webhooks import Receiver, receiving

LISTED = text("""
SELECT a.name, d.rule FROM deliveries d JOIN actions a ON a.org = d.org AND a.id = d.action_id
ORDER BY a.name, d.rule
""")
WAITING = ActionPhase.ACTION_PHASE_PAUSED


def condition(
    name: str, url: str, kind: SimpleType.ValueType = SimpleType.BOOLEAN
) -> EnqueueRequest:
    request = enqueue_condition(name, kind)
    request.action.condition.webhook.url = url
    request.action.condition.webhook.payload.update(
        {
            "text": "answer {{.Error}} at {callback_uri}",
            "links": [{"href": "{callback_uri}"}],
            "number": 7,
        }
    )
    return request


async def ask(api: ApiUnderTest, receiver: Receiver, name: str, kind: SimpleType.ValueType) -> str:
    """Enqueue a condition, deliver its webhook, and return the address that it carries."""
    await api.actions.enqueue(condition(name, receiver.url, kind))
    await deliver(api)
    href: str = json.loads(receiver.bodies[-1])["links"][0]["href"]
    return href.replace("http://public", api.url)


async def deliver(api: ApiUnderTest) -> None:
    clock = SystemClock()
    loop = DeliveryLoop(
        api.database, clock, make_deliveries(api.database, clock, OPEN), every=timedelta(hours=1)
    )
    await loop.run_once()
    await loop.run_once()


async def post(address: str, value: Any) -> tuple[int, str]:
    async with httpx.AsyncClient() as http:
        answer = await http.post(address, json=value)
    return answer.status_code, answer.json()["message"]


async def phase_of(api: ApiUnderTest, name: str) -> int:
    request = run_pb.GetActionDetailsRequest(action_id=action_id(name))
    details = (await api.runs.get_action_details(request)).details
    phase: int = details.status.phase
    return phase


async def test_webhook_is_called_once_and_its_address_answers_the_condition_once(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())
    async with receiving() as receiver:
        address = await ask(api, receiver, "cond", SimpleType.INTEGER)

    (body,) = receiver.bodies
    sent = json.loads(body)
    assert sent["text"].startswith("answer {{.Error}} at http://public/callbacks/")
    assert sent["number"] == 7
    assert receiver.sent_headers[0]["content-type"] == "application/json"
    status, message = await post(address, "seven")
    assert (status, "waits for an integer, not a string" in message) == (400, True)
    for value in (2**63, True, None, [7], 1.5):
        assert (await post(address, value))[0] == 400, value
    assert await phase_of(api, "cond") == WAITING

    assert await post(address, 7) == (200, "the condition is answered")
    assert await post(address, 8) == (409, "condition cond was answered before")

    request = run_pb.GetActionDetailsRequest(action_id=action_id("cond"))
    details = (await api.runs.get_action_details(request)).details
    assert details.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    data = await api.runs.get_action_data(run_pb.GetActionDataRequest(action_id=action_id("cond")))
    assert data.outputs.literals[0].value.scalar.primitive.integer == 7


async def test_address_that_was_altered_or_is_of_another_method_answers_nothing(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())
    async with receiving() as receiver:
        address = await ask(api, receiver, "cond", SimpleType.BOOLEAN)
        await api.actions.enqueue(enqueue_condition("other"))

    path, _, query = address.partition("?")
    last = "A" if address[-1] != "A" else "B"
    altered = [
        f"{path}?{query[:-1]}{last}",
        f"{path.replace('/cond', '/other')}?{query}",
        f"{path.replace(PROJECT, 'p2')}?{query}",
        f"{path}?{query}&x=1",
        f"{path}?{query.replace('expires=', 'expires=9')}",
        path,
        f"{path}/x?{query}",
        f"{api.url}/callbacks/",
    ]
    for each in altered:
        assert (await post(each, True))[0] == 404, each
    async with httpx.AsyncClient() as http:
        for method in ("GET", "HEAD", "PUT", "OPTIONS", "DELETE"):
            answer = await http.request(method, address)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
            assert "approve" not in answer.text
        large = await http.post(address, content=b'"' + b"x" * (64 * 1024) + b'"')
        broken = await http.post(address, content=b"{")
    assert (large.status_code, broken.status_code) == (413, 400)
    assert await phase_of(api, "cond") == WAITING
    assert await phase_of(api, "other") == WAITING
    assert (await post(address, True))[0] == 200


async def test_address_of_a_condition_that_ended_without_an_answer_is_gone(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())
    async with receiving() as receiver:
        address = await ask(api, receiver, "cond", SimpleType.BOOLEAN)
    await api.runs.abort_action(
        run_pb.AbortActionRequest(action_id=action_id("cond"), reason="no answer")
    )

    status, message = await post(address, True)

    assert (status, "waits no longer: it is ABORTED" in message) == (410, True)


async def test_receiver_that_is_down_leaves_the_condition_to_other_answers(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())
    async with receiving(500) as receiver:
        await api.actions.enqueue(condition("cond", receiver.url))
        await api.actions.enqueue(condition("cond", receiver.url))  # a repeat
        await deliver(api)

    assert len(receiver.bodies) == 1
    assert await phase_of(api, "cond") == WAITING
    request = run_pb.SignalEventRequest(action_id=action_id("cond"), parent_action_name="a0")
    request.payload.bool_value = True
    await api.runs.signal_event(request)
    assert await phase_of(api, "cond") == ActionPhase.ACTION_PHASE_SUCCEEDED


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://169.254.169.254/latest", "not a public address"),
        ("", "condition.webhook.url: is empty"),
        ("ftp://hooks.example", "is not an http:// or https:// address"),
        ("https://user:secret@hooks.example", "must not hold a user or password"),
    ],
)
async def test_webhook_that_is_never_called_is_refused(
    api: ApiUnderTest, url: str, reason: str
) -> None:
    await api.runs.create_run(create_run())

    code, message = await refusal(api.actions.enqueue(condition("cond", url)))

    assert code is Code.INVALID_ARGUMENT
    assert reason in message
    large = condition("cond", "https://hooks.example")
    large.action.condition.webhook.payload.update({"text": "x" * 70_000})
    assert "at most 65536 bytes" in (await refusal(api.actions.enqueue(large)))[1]


async def test_address_expires_with_the_condition_that_it_answers(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    async with receiving() as receiver:
        unlimited = await ask(api, receiver, "long", SimpleType.BOOLEAN)
        request = condition("short", receiver.url)
        request.action.condition.timeout.CopyFrom(Duration(seconds=3600))
        await api.actions.enqueue(request)
        await deliver(api)
        limited: str = json.loads(receiver.bodies[-1])["links"][0]["href"]

    apart = expiry(unlimited) - expiry(limited)
    assert abs(apart - (LIFETIME.total_seconds() - 3600)) < 600


def expiry(address: str) -> int:
    return int(httpx.URL(address).params["expires"])


async def test_condition_and_the_rules_of_its_run_are_reported_each(api: ApiUnderTest) -> None:
    run = create_run()
    rule = run.run_spec.notification_rules.rules.add(on_phases=[WAITING])
    rule.delivery_template.webhook.method = 2
    rule.delivery_template.webhook.body_template = "{{.Prompt}}"
    async with receiving() as receiver:
        rule.delivery_template.webhook.url = "https://hooks.example"
        await api.runs.create_run(run)
        await api.actions.enqueue(condition("cond", receiver.url))
        await api.actions.enqueue(enqueue_condition("plain"))
        await make_deliveries(api.database, SystemClock()).expand(ORG)

    async with api.database.for_org(ORG) as tx:
        rows = await tx.rows(LISTED)
    assert [(row.name, row.rule) for row in rows] == [("cond", -1), ("cond", 0), ("plain", 0)]
