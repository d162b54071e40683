"""Sessions that end, releases that change, and tabs that share six connections: nothing is lost."""

import re
from pathlib import Path

from playwright.async_api import Page, Route, expect

from tests.system.commands import Flyte
from tests.system.console.people import Member, Team, call
from tests.system.console.visitor import WITHIN, Visitor, project_path

_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def _end_session(page: Page) -> None:
    """End the session of this browser, as an administrator or a timeout does."""
    listed = await call(page, "volary.platform.v1.SessionService/ListSessions", {})
    [mine] = [each for each in listed["sessions"] if each.get("current")]
    await call(page, "volary.platform.v1.SessionService/RevokeSession", {"id": mine["id"]})


async def _log_in_in_another_window(member: Member, page: Page) -> None:
    expired = page.get_by_role("dialog", name="Your session has ended")
    async with page.context.expect_page() as opened:
        await expired.get_by_role("link", name="Log in").click()
    window = await opened.value
    await member.log_in_again(window)
    await expect(window.get_by_text("You are logged in again")).to_be_visible()
    await window.close()
    await expect(expired).to_have_count(0)


async def test_session_that_ends_in_mid_form_loses_nothing_that_was_typed(
    team: Team, tmp_path: Path
) -> None:
    member = await team.member("admin", tmp_path)
    async with member.browser(tmp_path, keep=False) as person:
        page = person.page
        await page.goto(f"{member.url}/v2/admin/members")
        await page.get_by_role("button", name=re.compile("^Invite")).click()
        dialog = page.get_by_role("dialog", name="Invite a person")
        await dialog.get_by_role("textbox", name="Address").fill("typed@example.com")
        await _end_session(page)

        await dialog.get_by_role("button", name="Make the link").click()
        await _log_in_in_another_window(member, page)

        await expect(dialog.get_by_role("textbox", name="Address")).to_have_value(
            "typed@example.com"
        )
        await dialog.get_by_role("button", name="Make the link").click()
        await expect(page.get_by_role("dialog", name="The invitation")).to_be_visible()


async def test_live_page_goes_on_after_the_next_login(team: Team, tmp_path: Path) -> None:
    member = await team.member("admin", tmp_path)
    async with member.browser(tmp_path, keep=False) as person:
        page = person.page
        await page.goto(f"{member.url}/v2/admin/clusters")
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        await _end_session(page)  # its streams end within a second
        await _log_in_in_another_window(member, page)
        await expect(page.get_by_text("live", exact=True)).to_be_visible()


async def test_login_leads_back_to_this_address_only(team: Team, tmp_path: Path) -> None:
    member = await team.member("viewer", tmp_path)
    async with member.browser(tmp_path, keep=False) as person:
        page = person.page
        for foreign in (
            "//evil.example/",
            "https://evil.example/",
            "/\\\\evil.example",
            "/%09/evil.example",
        ):
            await page.context.clear_cookies()
            await page.goto(f"{member.url}/login")
            await page.goto(f"{member.url}/login?next={foreign}")
            await member.log_in_again(page)
            await page.wait_for_url(re.compile(f"^{re.escape(member.url)}/(v2|orgs)"))


async def test_open_page_says_that_a_new_release_is_there_and_keeps_what_was_typed(
    visitor: Visitor, flyte: Flyte
) -> None:
    del flyte
    page = visitor.page
    await visitor.open(project_path("launch?task=values.main"))
    field = page.get_by_role("textbox").first
    await field.fill("typed before")

    async def answer_as_a_later_release(route: Route) -> None:
        answer = await route.fetch()
        headers = {**answer.headers, "x-volary-release": "9.9.9+later"}
        await route.fulfill(response=answer, headers=headers)

    await page.route("**/*Service/*", answer_as_a_later_release)
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))")
    bar = page.get_by_role("complementary", name="Release")
    await expect(bar).to_contain_text("A new version of the console is there", timeout=WITHIN)
    await expect(field).to_have_value("typed before")
    await page.unroute("**/*Service/*")
    await bar.get_by_role("button", name="Load it").click()
    await expect(bar).to_have_count(0)


async def test_six_tabs_over_http_1_all_work(visitor: Visitor, flyte: Flyte) -> None:
    """A browser has six connections to an address; only the tab in front may hold a stream."""
    run = flyte("run", "--follow", "hello.py", "main", "--name", "tabs").run
    paths = (
        project_path("runs"),
        "/v2/admin/clusters",
        project_path(f"runs/{run}"),
        project_path("runs"),
        "/v2/admin/clusters",
        project_path("runs"),
        "/v2/admin/clusters",
    )
    tabs: list[Page] = []
    for path in paths:
        tab = await visitor.context.new_page()
        await tab.goto(f"{visitor.url}{path}")
        await expect(tab.get_by_role("heading", level=1)).to_be_visible(timeout=WITHIN)
        await expect(tab.get_by_text(re.compile("^(live|final)$"))).to_be_visible(timeout=WITHIN)
        await tab.evaluate(_HIDE, True)  # headless, all tabs are in front
        tabs.append(tab)
    await expect(tabs[0].get_by_text("paused while hidden")).to_be_visible()
    await tabs[0].evaluate(_HIDE, False)
    await expect(tabs[0].get_by_text("live", exact=True)).to_be_visible(timeout=WITHIN)
    for tab in tabs:
        await tab.close()
