"""Notifications of runs that the SDK starts, to a real HTTP server and a real mail server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.running import until
from tests.servers.mail import Mailbox, receiving_mail
from tests.servers.webhooks import Receiver, receiving
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte
from tests.system.stack import Stack


@dataclass(frozen=True, slots=True)
class World:
    """A stack that may send to loopback, and the receivers there."""

    stack: Stack
    flyte: Flyte
    api: ApiClient
    receiver: Receiver
    mailbox: Mailbox
    context: Mapping[str, str]

    async def run(self, task: str, kind: str, url: str = "") -> str:
        """Run a task of ``scripts/notifying.py`` with notifications; return the run's name."""
        command = ("notifying.py", task, kind, url or self.receiver.url)
        return (await asyncio.to_thread(self.flyte.script, *command)).run

    def volary(self, *arguments: str) -> None:
        """Run a ``volary`` command on the stack's database, with the stack's settings."""
        command = [sys.executable, "-m", "controlplane.cli", *arguments]
        subprocess.run(  # noqa: S603 - our own command line
            [*command, "--data-dir", str(self.stack.data)],
            check=True,
            timeout=60,
            env={**os.environ, **self.context},
        )

    async def received(self, count: int) -> None:
        await until(lambda: len(self.receiver.bodies) >= count, f"{count} webhooks")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with receiving() as receiver, receiving_mail() as mailbox:
        context = {
            "VOLARY_WEBHOOK_ALLOW_HTTP": "true",
            "VOLARY_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
            "VOLARY_SMTP_HOST": "127.0.0.1",
            "VOLARY_SMTP_PORT": str(mailbox.port),
            "VOLARY_SMTP_SECURITY": "none",
            "VOLARY_MAIL_FROM": "volary@example.com",
        }
        stack = Stack(tmp_path / "stack", context=context)
        await asyncio.to_thread(stack.start)
        try:
            flyte = await asyncio.to_thread(Flyte, stack, tmp_path / "home")
            yield World(stack, flyte, ApiClient(stack.url), receiver, mailbox, context)
        finally:
            await asyncio.to_thread(stack.up.stop)


async def test_webhook_of_the_sdk_reports_a_failure_once_after_all_retries(world: World) -> None:
    name = await world.run("fail", "webhook")
    details = await world.api.ended(action_id(name))
    await world.received(1)

    assert len(details.attempts) == 3
    (body,) = world.receiver.bodies
    assert json.loads(body)["phase"] == "FAILED"
    assert 'it said "no"\nand left' in json.loads(body)["error"]
    assert world.receiver.paths == [f"/hook/{name}"]
    (headers,) = world.receiver.sent_headers
    assert headers["x-phase"] == "FAILED"
    assert headers["content-type"] == "application/json"


async def test_slack_teams_and_mail_of_the_sdk_report_a_failure(world: World) -> None:
    name = await world.run("fail", "all")
    await world.received(2)
    await until(lambda: bool(world.mailbox.received), "a mail")

    slack, teams = sorted(map(json.loads, world.receiver.bodies), key=len)
    assert 'it said "no"\nand left' in slack["text"]
    assert teams["title"] == "FAILED"
    ((recipients, message),) = world.mailbox.received
    assert recipients == ["ada@example.com"]
    assert message["subject"] == f"Run {name} FAILED"
    assert message.get_content_type() == "text/plain"


async def test_aborted_run_is_reported_by_the_rule_of_aborts_only(world: World) -> None:
    name = await world.run("linger", "ends")

    await asyncio.to_thread(world.flyte, "abort", "run", name)
    await world.received(1)

    assert world.receiver.paths == ["/hook/aborted"]


async def test_failure_is_reported_although_the_control_plane_is_killed(world: World) -> None:
    world.receiver.answers.append(503)
    await world.run("fail", "webhook")
    await world.received(1)

    await asyncio.to_thread(world.stack.kill)
    await asyncio.to_thread(world.stack.start)

    await world.received(2)
    assert len(set(world.receiver.keys)) == 1


async def test_named_rule_and_delivery_of_the_sdk_are_made_by_commands(world: World) -> None:
    for command in (
        ("config", "set", "hook", "--webhook", world.receiver.url, "--body", "{{.Phase}}"),
        ("rule", "set", "night", "--phase", "FAILED", "--config", "hook"),
    ):
        await asyncio.to_thread(world.volary, "notification", *command)

    for kind in ("named", "delivery"):
        await world.run("fail", kind)
    await world.received(2)

    assert world.receiver.bodies == ["FAILED"] * 2


async def test_example_reports_its_error_to_the_given_address(world: World) -> None:
    example = Path(__file__).parents[2] / "examples" / "notifying.py"
    ended = await asyncio.to_thread(world.flyte.script, str(example), world.receiver.url)
    await world.received(1)

    (body,) = world.receiver.bodies
    text = json.loads(body)["text"]
    assert text.startswith(f"{ended.run}: FAILED")
    assert "ZeroDivisionError" in text or "by zero" in text


async def test_condition_of_the_sdk_is_answered_at_the_address_that_its_webhook_was_sent(
    world: World,
) -> None:
    run = await asyncio.to_thread(
        world.flyte, "run", "approval.py", "by_webhook", "--url", world.receiver.url
    )
    await world.received(1)

    address = json.loads(world.receiver.bodies[0])["answer_to"]
    async with httpx.AsyncClient() as http:
        previewed = await http.get(address)
        answered = await http.post(address, json="yes")

    assert (previewed.status_code, answered.status_code) == (405, 200)
    assert await world.api.result(action_id(run.run)) == ["it said yes"]
