"""A run of 50,000 actions at the console: what a browser renders, asks for and keeps is bounded."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import CDPSession, Request, expect

from tests.large_runs import import_actions
from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, superuser_url
from tests.system.stack import Stack

COUNT = 50_000
MOST_ROWS = 90  # elements: a screen's rows, and those just outside
MOST_BYTES = 150_000  # that opening the run downloads from the API, compressed
MOST_HEAP = 60_000_000  # bytes


@dataclass  # with a dictionary, in which Playwright keeps what it wraps
class Traffic:
    """Calls of the API that a page makes, and the bytes that come back."""

    calls: list[str] = field(default_factory=list)
    received: int = 0
    streams: int = 0
    most_streams: int = 0

    def note(self, request: Request) -> None:
        if "/volary.platform.v1." in request.url or "/flyteidl2." in request.url:
            self.calls.append(request.url.rpartition("/")[2])
        if "/Watch" in request.url:
            self.streams += 1
            self.most_streams = max(self.most_streams, self.streams)

    def note_end(self, request: Request) -> None:
        if "/Watch" in request.url:
            self.streams -= 1

    def note_bytes(self, event: dict[str, Any]) -> None:
        self.received += int(event["encodedDataLength"])


async def _follow(visitor: Visitor) -> tuple[Traffic, CDPSession]:
    traffic = Traffic()
    visitor.page.on("request", traffic.note)
    visitor.page.on("requestfinished", traffic.note_end)
    visitor.page.on("requestfailed", traffic.note_end)
    session = await visitor.context.new_cdp_session(visitor.page)
    await session.send("Network.enable")
    session.on("Network.dataReceived", traffic.note_bytes)
    return traffic, session


@pytest.fixture(scope="module")
def large_run(stack: Stack, flyte: Flyte) -> str:
    """A run with COUNT actions that have ended."""
    run = flyte("run", "--follow", "hello.py", "main", "--name", "you").run
    asyncio.run(import_actions(superuser_url(stack), run, COUNT))
    return run


async def test_console_opens_and_scrolls_a_run_of_50000_actions(
    visitor: Visitor, large_run: str
) -> None:
    await visitor.open("/v2")  # scripts and styles are not what is counted
    traffic, session = await _follow(visitor)
    await visitor.open_run(large_run)
    fold = visitor.page.get_by_role("row", name=re.compile("child .50,000"))
    await expect(fold).to_be_visible(timeout=WITHIN)
    await expect(visitor.button("failed 50")).to_be_visible()
    assert traffic.calls.count("WatchTree") <= 2, traffic.calls

    tree = visitor.page.get_by_role("treegrid", name="Actions")
    rows = tree.get_by_role("row")
    await fold.click()
    await expect(tree).to_have_attribute("aria-rowcount", str(COUNT + 2))
    await expect(visitor.row("✕")).to_be_visible()  # failed ones come first
    assert await rows.count() < MOST_ROWS
    assert traffic.received < MOST_BYTES, traffic.received

    await rows.nth(1).focus()
    await visitor.page.keyboard.press("End")
    last = tree.locator(f'[aria-rowindex="{COUNT + 2}"]')
    await expect(last).to_be_focused(timeout=WITHIN)
    await expect(last).to_have_attribute("aria-posinset", str(COUNT))
    assert await rows.count() < MOST_ROWS
    # Pages that are passed quickly are not read, and one that was left is not read on.
    await visitor.page.evaluate(_SCROLL)
    await expect(tree.get_by_role("row", name="child").nth(3)).to_be_visible(timeout=WITHIN)
    assert traffic.most_streams <= 2
    assert traffic.received < 2_000_000

    await session.send("HeapProfiler.collectGarbage")
    used = await session.send("Runtime.getHeapUsage")
    assert used["usedSize"] < MOST_HEAP, json.dumps(used)


async def test_console_finds_one_of_50000_actions_and_lists_all_that_failed(
    visitor: Visitor, large_run: str
) -> None:
    await visitor.open_run(large_run)
    await visitor.field("Find an action").fill("w049123")
    tree = visitor.page.get_by_role("treegrid", name="Actions")
    await expect(tree).to_have_attribute("aria-rowcount", "1", timeout=WITHIN)
    await visitor.row("child").click()
    await visitor.expect_text("w049123")
    await visitor.field("Find an action").fill("")
    await visitor.button("failed 50").click()
    await expect(tree).to_have_attribute("aria-rowcount", "50", timeout=WITHIN)


_SCROLL = """async () => {
  const box = document.querySelector('[role=treegrid]');
  for (let step = 1; step <= 240; step++) {
    box.scrollTop = (box.scrollHeight * step) / 480;
    await new Promise(requestAnimationFrame);
  }
}"""
