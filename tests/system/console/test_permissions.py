"""Members see what their role includes; what they may not do is absent."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.system.commands import DOMAIN, PROJECT
from tests.system.console.people import GUEST, Owner, Team, call

_PROJECT = f"/v2/domain/{DOMAIN}/project/{PROJECT}"
# Of each page: a button or link that needs a permission, and the roles that have it.
_ACTS = {
    f"{_PROJECT}/runs": ("Launch", {"contributor", "admin"}),
    f"{_PROJECT}/secrets": ("Create a secret", {"contributor", "admin"}),
    "/v2/admin/clusters": ("Add a cluster", {"admin"}),
    "/v2/admin/queues": ("Create a queue", {"admin"}),
    "/v2/admin/members": ("Invite", {"admin"}),
    "/v2/admin/roles": ("New role", {"admin"}),
}
_RAIL = {
    "Audit": {"admin"},
    "API keys": {"admin"},
    "Join tokens": {"admin"},
    "Identity providers": {"admin"},
    "Clusters": {"viewer", "contributor", "admin"},
}


@pytest.mark.parametrize("role", ["viewer", "contributor", "admin"])
async def test_member_is_offered_only_what_their_role_may_do(
    team: Team, tmp_path: Path, role: str
) -> None:
    member = await team.member(role, tmp_path)
    async with member.browser(tmp_path) as person:
        page = person.page
        for path, (act, roles) in _ACTS.items():
            await page.goto(f"{member.url}{path}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.get_by_role("status", name="Loading")).to_have_count(0)
            await expect(_act(page, act)).to_have_count(1 if role in roles else 0)
        rail = page.get_by_role("navigation", name="Main")
        await expect(rail.get_by_role("link", name="Clusters")).to_be_visible()
        for link, roles in _RAIL.items():
            await expect(rail.get_by_role("link", name=link)).to_have_count(int(role in roles))


def _act(page: Page, name: str) -> Locator:
    main = page.get_by_role("main")
    return main.get_by_role("button", name=name).or_(main.get_by_role("link", name=name)).first


async def test_page_that_a_role_does_not_include_says_so_in_words(
    team: Team, tmp_path: Path
) -> None:
    member = await team.member("viewer", tmp_path)
    async with member.browser(tmp_path) as person:
        await person.page.goto(f"{member.url}/v2/admin/audit")
        await expect(
            person.page.get_by_role("heading", name="There is nothing here that you may see")
        ).to_be_visible()
        await person.page.goto(f"{member.url}/v2/me")
        mine = person.page.get_by_role("region", name="Permissions")
        await expect(mine).to_contain_text(re.compile("in the whole org"))
        await expect(mine).to_contain_text("run")


async def test_project_of_others_is_as_if_it_did_not_exist(
    owner: Owner, team: Team, tmp_path: Path
) -> None:
    async with owner.browser(tmp_path) as person:
        await person.page.goto(f"{owner.url}/v2/me")
        await call(
            person.page,
            "flyteidl2.project.ProjectService/CreateProject",
            {"project": {"id": "hidden", "name": "hidden"}},
        )
    guest = await team.member(GUEST, tmp_path)
    async with guest.browser(tmp_path) as person:
        page = person.page
        for project in ("hidden", "no-such-project"):
            for noun in ("runs", "tasks", "settings"):
                await page.goto(f"{guest.url}/v2/domain/{DOMAIN}/project/{project}/{noun}")
                await expect(
                    page.get_by_role("heading", name="There is nothing here that you may see").first
                ).to_be_visible()
        await page.goto(f"{guest.url}{_PROJECT}/runs")
        await expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
        rail = page.get_by_role("navigation", name="Main")
        await expect(rail.get_by_role("link", name="Runs", exact=True)).to_be_visible()
        await expect(rail.get_by_role("link", name="Clusters")).to_have_count(0)
