"""People at the console: the owner of a stack with logins, and visitors of the shared one, which has none."""

import fcntl
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, Request, expect

from scripts.console import BUILT, CONSOLE, ROOT
from tests.browsers import Person, chromium, person_at
from tests.servers import volary
from tests.system.console.visitor import Visitor, visit
from tests.system.stack import Stack

_SOURCES = ("src", "index.html", "package.json", "package-lock.json", "vite.config.ts")

expect.set_options(timeout=30_000)  # ms, for machines that do other work too


@pytest.fixture(scope="session")
def built_console() -> Path:
    """The console's files, built from the present sources; one worker builds, the others wait."""
    lock = ROOT / ".cache" / "console.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not _is_fresh():
            command = [sys.executable, "-m", "scripts.console", "build"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
            assert done.returncode == 0, done.stdout + done.stderr
    return BUILT


def _is_fresh() -> bool:
    index = BUILT / "index.html"
    if not index.exists():
        return False
    roots = [CONSOLE / name for name in _SOURCES]
    sources = [file for root in roots for file in (root.rglob("*") if root.is_dir() else [root])]
    built = index.stat().st_mtime
    return all(file.stat().st_mtime <= built for file in sources if "gen" not in file.parts)


@pytest.fixture(scope="session")
def control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[volary.VolaryUp]:
    request.getfixturevalue("built_console")  # before it starts: it reads the files then
    data = tmp_path_factory.mktemp("console") / "data"
    with volary.running(data, "--login") as up:
        up.wait_until_said("Another link")
        yield up


class Owner:
    """The owner of the org ``local``; their browser's session outlives a single test."""

    def __init__(self, up: volary.VolaryUp) -> None:
        self.up = up
        self.url = f"https://{up.endpoint}"
        self._session: Any = None

    @asynccontextmanager
    async def browser(self, pictures: Path) -> AsyncIterator[Person]:
        """
        A browser of the owner's.

        The block fails if a page breaks the policy, logs an error, or makes a request that fails.
        """
        async with chromium() as browser, person_at(browser, pictures) as person:
            failed: list[str] = []
            person.page.on("requestfailed", lambda request: failed.extend(_fault(request)))
            if self._session is None:
                await self._log_in(person.page)
            else:
                await person.page.context.add_cookies(self._session)
            yield person
            assert person.errors == []
            assert failed == []

    async def _log_in(self, page: Page) -> None:
        found = re.search(r"https://\S+/join\?invitation=\S+", self.up.output())
        assert found is not None, self.up.output()
        await page.goto(found[0])
        await (
            page.get_by_role("button", name="Log in by this link")
            .or_(page.get_by_role("link", name="Log in by this link"))
            .click()
        )
        await page.wait_for_url(re.compile(r"/(orgs|v2)"))
        self._session = await page.context.cookies()


def _fault(request: Request) -> list[str]:
    """Say what failed, unless the page itself gave it up, as it does with a stream when it goes."""
    reason = request.failure or ""
    return [] if "ERR_ABORTED" in reason else [f"{request.url}: {reason}"]


@pytest.fixture(scope="session")
def owner(control_plane: volary.VolaryUp) -> Owner:
    return Owner(control_plane)


@pytest.fixture
async def visitor(built_console: Path, stack: Stack, tmp_path: Path) -> AsyncIterator[Visitor]:
    """
    A person at the console of the shared stack.

    When they leave, the browser must not have reported an error: of a policy, of a script, of a
    request.
    """
    del built_console  # before the stack starts: it reads the files then
    async with httpx.AsyncClient(base_url=stack.url) as client:
        release = (await client.get("/healthz")).headers["x-volary-release"]
    if "+" not in release:
        pytest.skip("the stack started before the console was built; make console, then test again")
    async with chromium() as browser, visit(browser, stack.url, tmp_path) as visitor:
        yield visitor
        assert visitor.faults == []
