"""A person sets up who is told of failed runs, and sends again what the receiver refused."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from tests.browsers import chromium
from tests.running import until
from tests.servers.webhooks import Receiver, receiving
from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, visit
from tests.system.stack import Stack

_ADDRESS = "/v2/admin/notifications"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that refuses the first request for good, and takes those that follow."""
    async with receiving(400) as receiver:
        yield receiver


@pytest.fixture
async def own_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack that may send to this machine."""
    context = {
        "VOLARY_WEBHOOK_ALLOW_HTTP": "true",
        "VOLARY_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
    }
    stack = Stack(tmp_path / "stack", context=context)
    await asyncio.to_thread(stack.start)
    try:
        yield stack
    finally:
        await asyncio.to_thread(stack.up.stop)


@pytest.fixture
async def at_own_stack(
    built_console: Path, own_stack: Stack, tmp_path: Path
) -> AsyncIterator[Visitor]:
    del built_console
    async with chromium() as browser, visit(browser, own_stack.url, tmp_path) as visitor:
        yield visitor
        assert visitor.faults == []


async def _fill(dialog: Locator, label: str, text: str) -> None:
    await dialog.get_by_label(label, exact=True).fill(text)


async def test_refused_webhook_is_shown_with_its_answer_and_sent_again(
    at_own_stack: Visitor, own_stack: Stack, receiver: Receiver, tmp_path: Path
) -> None:
    page = at_own_stack.page
    await at_own_stack.open(f"{_ADDRESS}?tab=configs")
    await at_own_stack.button("Create a delivery configuration").click()
    dialog = page.get_by_role("dialog")
    await _fill(dialog, "Name", "hook")
    await _fill(dialog, "Address", receiver.url)
    await _fill(dialog, "Headers", "X-Phase")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("must be NAME=value")
    await _fill(dialog, "Headers", "X-Phase={{.Phase}}")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("table", name="Delivery configurations")).to_contain_text("hook")
    assert await at_own_stack.examine("notification-configs") == []

    await page.get_by_role("button", name="Sign hook").click()
    await page.get_by_role("dialog").get_by_role("button", name="Make a secret").click()
    shown = page.get_by_role("dialog", name="The signing secret of hook")
    await expect(shown).to_contain_text("whsec_")
    await shown.get_by_role("button", name="Close").click()
    await expect(page.get_by_text("whsec_")).to_have_count(0)

    await at_own_stack.choose_tab("Rules")
    await at_own_stack.button("Create a rule").click()
    dialog = page.get_by_role("dialog", name="Create a rule")
    await _fill(dialog, "Name", "night")
    await dialog.get_by_role("checkbox", name="hook").check()
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("row").filter(has_text="night")).to_contain_text(
        "failed, timed out"
    )

    flyte = await asyncio.to_thread(Flyte, own_stack, tmp_path / "home")
    run = (await asyncio.to_thread(flyte.script, "notifying.py", "fail", "named", "-")).run
    await at_own_stack.choose_tab("Deliveries")
    row = page.get_by_role("row").filter(has_text=run)
    await expect(row).to_contain_text("400", timeout=WITHIN)
    assert await at_own_stack.examine("notification-deliveries") == []
    await row.get_by_role("button", name=re.compile("^Send again the webhook about")).click()
    await page.get_by_role("dialog").get_by_role("button", name="Send again").click()
    await until(lambda: len(receiver.bodies) == 2, "the second request")
    await expect(row).to_contain_text("delivered", timeout=WITHIN)
    assert len(set(receiver.keys)) == 1  # so that the receiver can tell
    assert receiver.sent_headers[1]["x-phase"] == "FAILED"
    assert "webhook-signature" in receiver.sent_headers[1]
