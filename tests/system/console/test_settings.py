"""Settings are edited level by level, and two people who edit the same lose nothing."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browsers import Person
from tests.system.commands import DOMAIN, PROJECT
from tests.system.console.people import Owner, Team

_SETTINGS = f"/v2/domain/{DOMAIN}/project/{PROJECT}/settings"


@pytest.fixture
async def person(owner: Owner, tmp_path: Path) -> AsyncIterator[Person]:
    async with owner.browser(tmp_path) as person:
        yield person


async def _open(page: Page, url: str, level: str) -> Locator:
    await page.goto(f"{url}{_SETTINGS}")
    await page.get_by_role("button", name=f"Edit {level}").click()
    return page.get_by_role("dialog", name=f"Settings of {level}")


async def _set(dialog: Locator, key: str, value: str) -> None:
    await dialog.get_by_role("combobox", name=key).select_option("value")
    await dialog.get_by_role("textbox", name=f"Value of {key}").fill(value)


async def _save(dialog: Locator) -> None:
    await dialog.get_by_role("button", name="Save").click()


async def test_setting_of_the_org_holds_in_a_project_until_the_project_sets_its_own(
    owner: Owner, person: Person
) -> None:
    page = person.page
    dialog = await _open(page, owner.url, "the org")
    await _set(dialog, "run.max_action_concurrency", "40")
    await _set(dialog, "labels", "team=vision\ntier=free")
    await _save(dialog)
    await expect(dialog).to_have_count(0)
    row = page.get_by_role("row").filter(has_text="run.max_action_concurrency")
    await expect(row).to_contain_text(re.compile("40 from the org"))

    dialog = await _open(page, owner.url, PROJECT)
    await expect(dialog.get_by_role("combobox", name="run.max_action_concurrency")).to_contain_text(
        "inherited: 40"
    )
    await _set(dialog, "run.max_action_concurrency", "many")
    await _save(dialog)
    await expect(dialog.get_by_role("alert")).to_contain_text("must be a whole number")
    await _set(dialog, "run.max_action_concurrency", "8")
    await _set(dialog, "labels", "tier=paid")
    await _save(dialog)
    await expect(row).to_contain_text(re.compile("8 from the project"))
    labels = page.get_by_role("row").filter(has_text="labels").last
    await expect(labels).to_contain_text("team=vision")
    await expect(labels).to_contain_text(re.compile("tier=paid from the org and project"))


async def test_setting_that_two_people_change_is_shown_with_both_values(
    owner: Owner, person: Person
) -> None:
    mine = person.page
    theirs = await mine.context.new_page()
    dialog = await _open(mine, owner.url, DOMAIN)
    await _set(dialog, "pod_template_name", "mine")
    await _set(dialog, "storage.raw_data_path", "")
    other = await _open(theirs, owner.url, DOMAIN)
    await _set(other, "pod_template_name", "theirs")
    await _set(other, "security.service_account", "trainer")
    await _save(other)
    await expect(other).to_have_count(0)

    await dialog.get_by_role("combobox", name="storage.raw_data_path").select_option("inherit")
    await _save(dialog)
    changed = dialog.get_by_role("alert", name="Changed meanwhile")
    row = changed.get_by_role("row").filter(has_text="pod_template_name")
    await expect(row).to_contain_text("theirs")
    await expect(row).to_contain_text("mine")
    mine_typed = dialog.get_by_role("textbox", name="Value of pod_template_name")
    await expect(mine_typed).to_have_value("mine")
    account = dialog.get_by_role("textbox", name="Value of security.service_account")
    await expect(account).to_have_value("trainer")

    await changed.get_by_role("button", name="Take theirs of pod_template_name").click()
    await expect(mine_typed).to_have_value("theirs")
    await mine_typed.fill("both")
    await _save(dialog)
    await expect(dialog).to_have_count(0)
    table = mine.get_by_role("table", name="Settings")
    await expect(table.get_by_role("row").filter(has_text="pod_template_name")).to_contain_text(
        "both"
    )
    await expect(table).to_contain_text("trainer")
    await theirs.close()


async def test_viewer_reads_settings_and_is_not_offered_to_edit(team: Team, tmp_path: Path) -> None:
    member = await team.member("viewer", tmp_path)
    async with member.browser(tmp_path) as person:
        await person.page.goto(f"{member.url}{_SETTINGS}")
        await expect(person.page.get_by_role("heading", name="Settings")).to_be_visible()
        await expect(person.page.get_by_role("status", name="Loading")).to_have_count(0)
        await expect(person.page.get_by_role("button", name=re.compile("^Edit"))).to_have_count(0)


async def test_levels_are_read_and_edited_on_the_page_of_the_org(
    owner: Owner, person: Person
) -> None:
    page = person.page
    await page.goto(f"{owner.url}/v2/admin/settings")
    await page.get_by_role("button", name="Edit the org").click()
    dialog = page.get_by_role("dialog", name="Settings of the org")
    await _set(dialog, "task_resource.min.cpu", "250m")
    await _save(dialog)
    await expect(dialog).to_have_count(0)
    row = page.get_by_role("row").filter(has_text="task_resource.min.cpu")
    await expect(row).to_contain_text("250m")

    await page.get_by_label("Domain").select_option("staging")
    await expect(row).to_contain_text("250m from the org")
    await page.get_by_role("button", name="Edit staging").click()
    dialog = page.get_by_role("dialog", name="Settings of staging")
    await _set(dialog, "task_resource.min.cpu", "2")
    await _save(dialog)
    await expect(dialog).to_have_count(0)
    await expect(row).to_contain_text("2 from the domain")

    await page.get_by_label("Project").select_option(PROJECT)
    await expect(page.get_by_role("button", name=f"Edit {PROJECT}")).to_be_visible()
    await expect(row).to_contain_text("2 from the domain")
    assert f"of=staging&project={PROJECT}" in page.url
    await page.reload()  # the levels are in the address
    await expect(row).to_contain_text("2 from the domain")
