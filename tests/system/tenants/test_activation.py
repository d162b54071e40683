"""
A person signs up, and is led from an empty org to the first result, on the pages of the console.

The control plane, the provider, the browser, the agent and ``flyte`` are real. A stopwatch prints
when each step was done since "Add a cluster"; the test bounds the steps of the person, not the time.
"""

import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browsers import Person, chromium, person_at
from tests.servers.postgres import PostgresForTests
from tests.system.console.conftest import built_console
from tests.system.tenants import world
from tests.system.tenants.world import (
    FLYTE,
    PROJECT,
    Installation,
    OpenedAddresses,
    Tenant,
    allow,
    finish,
    log_in,
    run_name,
)

__all__ = ["built_console"]

WITHIN = 60_000  # ms
MOST_COMMANDS = 3
"""Commands that a person copies from the pages: of the agent, of the configuration, of the run."""


@dataclass(slots=True)
class Stopwatch:
    began: float = field(default_factory=time.monotonic)
    laps: list[tuple[str, float]] = field(default_factory=list)

    def lap(self, what: str) -> None:
        self.laps.append((what, time.monotonic() - self.began))

    def __str__(self) -> str:
        return "\n".join(f"{seconds:6.1f} s  {what}" for what, seconds in self.laps)


@pytest.fixture
def started(
    built_console: Path, postgres_server: PostgresForTests, tmp_path: Path
) -> Iterator[tuple[Installation, Tenant]]:
    """A control plane with logins, and a person who may log in and is in no org of their own."""
    del built_console  # before the control plane starts: it reads the files then
    with ExitStack() as stack:
        database = stack.enter_context(postgres_server.migrated())
        installation = stack.enter_context(world.running(tmp_path, database))
        [tenant] = stack.enter_context(world.tenants(installation, {"acme": "ada"}))
        yield installation, tenant


async def test_person_who_signs_up_is_led_to_the_first_result(
    started: tuple[Installation, Tenant], tmp_path: Path
) -> None:
    installation, tenant = started
    commands: list[str] = []
    async with chromium() as browser, person_at(browser, tmp_path) as person:
        page = person.page
        await log_in(person, installation, tenant)
        await page.goto(f"{installation.url}/orgs")
        await page.get_by_label("Name", exact=True).fill("fresh")
        await person.press("Create")
        await page.wait_for_url("**/v2*")
        steps = page.get_by_role("region", name="First steps")
        await steps.get_by_label("Name of the project").fill(PROJECT)
        await steps.get_by_role("button", name="Create", exact=True).click()
        await expect(step(steps, "Create a project")).to_contain_text("done", timeout=WITHIN)
        await expect(step(steps, "Add a cluster")).to_contain_text("to do")
        await person.picture("first steps")

        watch = Stopwatch()
        join_token = await add_cluster(page, steps, commands)
        watch.lap("the page shows the join token")
        with installation.agent(tenant, "first", join_token):
            dialog = page.get_by_role("dialog", name="Add a cluster")
            await expect(dialog).to_contain_text("first is connected", timeout=WITHIN)
            await expect(dialog).to_contain_text("volary-agent doctor")
            watch.lap("the page shows that the agent is connected")
            await page.keyboard.press("Escape")
            await expect(step(steps, "Add a cluster")).to_contain_text("done", timeout=WITHIN)

            commands += [
                await command(step(steps, "Tell the command line where this is")),
                await command(step(steps, "Run a workflow")),
            ]
            assert installation.host in commands[-2]
            run = await run_as_shown(installation, tenant, person, commands[-1])
            watch.lap("flyte has started the run")
            result = step(steps, "See its result")
            await page.goto(f"{installation.url}/v2")
            await expect(result.get_by_role("link", name=run)).to_be_visible(timeout=WITHIN)
            await expect(result).to_contain_text("done", timeout=WITHIN)
            await expect(result).to_contain_text("succeeded")
            watch.lap("the page shows its result")
        assert person.errors_at(installation.url) == []
    print(f"\nFrom 'Add a cluster' to the first result:\n{watch}")  # noqa: T201 -- for those who run it with -s
    assert len(commands) == MOST_COMMANDS


def step(steps: Locator, title: str) -> Locator:
    return steps.get_by_role("listitem").filter(has_text=title)


async def command(within: Locator) -> str:
    return await within.locator("pre").inner_text()


async def add_cluster(page: Page, steps: Locator, commands: list[str]) -> str:
    """Add a cluster on the page; return the join token of the command that it shows."""
    await steps.get_by_role("button", name="Add a cluster").click()
    dialog = page.get_by_role("dialog", name="Add a cluster")
    await dialog.get_by_label("Name").fill("first")
    await dialog.get_by_role("button", name="Make a join token").click()
    await expect(dialog.get_by_role("status")).to_contain_text("Waiting for its agent")
    shown = await command(dialog)
    commands.append(shown)
    [token] = [
        word.removeprefix("--from-literal=token=")
        for word in shlex.split(shown)
        if word.startswith("--from-literal=token=")
    ]
    return token


async def run_as_shown(
    installation: Installation, tenant: Tenant, person: Person, shown: str
) -> str:
    """Run the shown workflow by the unmodified ``flyte``, which logs in in the browser."""
    script, _, line = shown.rpartition("\n")
    place = tenant.home / "work"
    place.mkdir()
    (place / "hello.py").write_text(script.split("'END'\n", 1)[1].removesuffix("END"))
    words = shlex.split(line)
    assert words[:3] == ["flyte", "run", "hello.py"]
    opened = OpenedAddresses(tenant.home)
    config = installation.flyte_config(tenant, authType="Pkce")
    process = await installation.start(
        tenant,
        *(FLYTE, "--config", config, *words[1:]),
        place=place,
        BROWSER=opened.variable,
    )
    await allow(person, await opened.next(process))
    return run_name(await finish(process, is_flyte=True))
