"""A person sees when a trigger fires, what became of its instants, and fires it by hand."""

import asyncio
import re
from pathlib import Path

from playwright.async_api import expect

from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, project_path
from tests.system.stack import Stack

_EXAMPLES = Path(__file__).parents[3] / "examples"


async def test_trigger_shows_its_next_instants_and_is_fired_by_hand(
    visitor: Visitor, stack: Stack, tmp_path: Path
) -> None:
    examples = await asyncio.to_thread(Flyte, stack, tmp_path / "home", place=_EXAMPLES)
    await asyncio.to_thread(examples, "deploy", "trigger.py", "env")
    page = visitor.page
    await visitor.open(project_path("triggers"))
    await page.get_by_role("link", name="each-minute").click()
    instants = page.get_by_role("region", name="Next instants")
    await expect(instants.get_by_role("listitem")).to_have_count(5, timeout=WITHIN)
    await expect(instants).to_contain_text("Europe/London")
    trigger = page.url

    await visitor.button("Fire now").click()
    await page.get_by_role("dialog").get_by_role("button", name="Fire", exact=True).click()
    await page.wait_for_url(re.compile("/runs/fired-"))
    run = page.url.rsplit("/", 1)[1]
    await visitor.expect_state("succeeded")

    await page.goto(trigger)
    row = page.get_by_role("table", name="Firings").get_by_role("row").filter(has_text=run)
    await expect(row).to_contain_text(re.compile("started.*by hand by"), timeout=WITHIN)
    assert await visitor.examine("trigger") == []

    await visitor.button("Switch off").click()
    await page.get_by_role("dialog").get_by_role("button", name="Switch off", exact=True).click()
    await expect(instants).to_contain_text("switched off", timeout=WITHIN)
    await visitor.button("Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    await visitor.open(project_path("triggers"))
    await expect(page.get_by_role("link", name="each-minute")).to_have_count(0)


async def test_run_that_was_tracked_is_listed_and_opens_at_the_printed_address(
    visitor: Visitor, flyte: Flyte
) -> None:
    flyte("run", "--tracked", "--name", "local-console", "hello.py", "main", "--name", "you")
    await visitor.open(project_path("tracked-runs"))
    row = visitor.row("local-console")
    await expect(row).to_contain_text("succeeded", timeout=WITHIN)
    await row.get_by_role("link").first.click()
    await visitor.page.wait_for_url(re.compile("/tracked-runs/local-console"))
    await visitor.expect_state("succeeded")
    await visitor.choose_tab("In / Out")
    await visitor.expect_text("Hello, you!")
