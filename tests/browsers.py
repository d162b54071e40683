"""A real browser: Debian's Chromium, driven by Playwright."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.axe import find_violations

_OPTIONS = [
    "--no-sandbox",  # tests run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOME = re.compile(r"^https?://[^/]+/(orgs|v2(/.*)?)$")
"""Where a login leads to: the console if it is built, or the page of orgs."""
_WIDTHS = {"wide": 900, "narrow": 320}


@dataclass(frozen=True, slots=True)
class Person:
    """A person at a browser of their own; ``errors``: what its console says."""

    page: Page
    pictures: Path
    errors: list[str] = field(default_factory=list)

    def errors_at(self, address: str) -> list[str]:
        """Return what the console has said on pages below an address: of policies, of scripts."""
        return [each for each in self.errors if each.startswith(address)]

    async def press(self, name: str) -> None:
        """Press a button, or follow a link, by its name."""
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        await button.or_(link).first.click()

    async def picture(self, name: str) -> None:
        """
        Photograph the page in both themes and two widths.

        Nothing may be cut off, and axe may find nothing in either theme.
        """
        size = self.page.viewport_size
        for width, pixels in _WIDTHS.items():
            await self.page.set_viewport_size({"width": pixels, "height": 700})
            overflow = await self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert overflow <= 0, f"{name} is {overflow} px wider than a {width} window"
            for scheme in ("light", "dark"):
                await self.page.emulate_media(
                    color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
                )
                await self.page.screenshot(
                    path=self.pictures / f"{name}-{width}-{scheme}.png", full_page=True
                )
                violations = await find_violations(self.page)
                assert not violations, f"{name}, {width}, {scheme}: {violations}"
        if size is not None:
            await self.page.set_viewport_size(size)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium here; make browser-packages installs it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_OPTIONS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def person_at(browser: Browser, pictures: Path) -> AsyncIterator[Person]:
    """A person with a browser that has no cookies yet, and takes our made-up authorities."""
    context = await browser.new_context(ignore_https_errors=True)
    try:
        person = Person(await context.new_page(), pictures)

        def note(message: ConsoleMessage) -> None:
            # A page with an error's status is reported too; the tests look at those themselves.
            if message.type == "error" and "status of" not in message.text:
                person.errors.append(f"{person.page.url}: {message.text}")

        person.page.on("console", note)
        yield person
    finally:
        await context.close()
