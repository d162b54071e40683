"""A person at the console, with what they look for: roles and names, never the page's structure."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    expect,
)

from benchmarks import stack as benchmarked
from tests.axe import find_violations
from tests.system.commands import DOMAIN, PROJECT
from tests.system.stack import Stack

WITHIN = 60_000  # milliseconds; only a hang takes so long
_SIZES = {"wide": 1280, "narrow": 320}


@dataclass(frozen=True, slots=True)
class Visitor:
    """``faults``: errors that the browser reported, of scripts, policies and requests."""

    page: Page
    context: BrowserContext
    url: str
    pictures: Path
    faults: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.url}{path}")

    async def open_run(self, run: str, query: str = "") -> None:
        await self.open(project_path(f"runs/{run}{query}"))

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Locator:
        return self.page.get_by_label(name)

    def row(self, name: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=name).first

    async def choose_tab(self, name: str) -> None:
        await self.page.get_by_role("tab", name=name, exact=True).click()

    async def expect_state(self, state: str) -> None:
        """Wait until the run that is shown has the state, without touching the page."""
        heading = self.page.get_by_role("heading", level=1)
        await expect(heading).to_contain_text(state, timeout=WITHIN)

    async def expect_text(self, text: str) -> None:
        await expect(self.page.get_by_text(text).first).to_be_visible(timeout=WITHIN)

    async def examine(self, name: str) -> list[str]:
        """
        Return what axe finds in both themes, and how much is cut off in two widths.

        Pictures of each are kept below the test's directory.
        """
        found = []
        for width, pixels in _SIZES.items():
            await self.page.set_viewport_size({"width": pixels, "height": 800})
            for theme in ("light", "dark"):
                await self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                await self.page.screenshot(path=self.pictures / f"{name}-{width}-{theme}.png")
                if width == "wide":
                    found += [
                        f"{name}, {theme}: {each}" for each in await find_violations(self.page)
                    ]
            cut = await self.page.evaluate(
                "[document.documentElement, document.querySelector('main')]"
                ".map((each) => each.scrollWidth - each.clientWidth)"
            )
            if max(cut) > 0:
                found.append(f"{name} is wider than a {width} window: {json.dumps(cut)} pixels")
        await self.page.set_viewport_size({"width": _SIZES["wide"], "height": 800})
        return found


def superuser_url(stack: Stack) -> str:
    """Return the address of a stack's database, for data that no call can make."""
    process = psutil.Process(stack.up.process.pid)
    return benchmarked.Stack(stack.endpoint, stack.data, process).superuser_url


def project_path(rest: str) -> str:
    return f"/v2/domain/{DOMAIN}/project/{PROJECT}/{rest}"


@asynccontextmanager
async def visit(
    browser: Browser, url: str, pictures: Path, *, ignore_https_errors: bool = False
) -> AsyncIterator[Visitor]:
    context = await browser.new_context(
        viewport={"width": _SIZES["wide"], "height": 800},
        reduced_motion="reduce",  # else colours are measured while they change
        ignore_https_errors=ignore_https_errors,
    )
    try:
        page = await context.new_page()
        visitor = Visitor(page, context, url, pictures)

        def note_message(message: ConsoleMessage) -> None:
            # Errors of the API are reported too; the pages show those.
            if message.type == "error" and "status of" not in message.text:
                visitor.faults.append(f"{page.url}: {message.text}")

        def note_failure(request: Request) -> None:
            # The console ends its own streams when a page goes.
            if request.failure is not None and "ERR_ABORTED" not in request.failure:
                visitor.faults.append(f"{request.url}: {request.failure}")

        page.on("console", note_message)
        page.on("pageerror", lambda error: visitor.faults.append(f"{page.url}: {error}"))
        page.on("requestfailed", note_failure)
        yield visitor
    finally:
        await context.close()
