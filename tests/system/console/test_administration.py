"""An owner administers the org in the console: people, roles, keys, clusters, the audit log."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browsers import Person
from tests.system.console.people import Owner

_PAGES = ("members", "roles", "api-keys", "identity-providers", "join-tokens", "audit")


@pytest.fixture
async def person(owner: Owner, tmp_path: Path) -> AsyncIterator[Person]:
    async with owner.browser(tmp_path) as person:
        yield person


@pytest.fixture
def page(person: Person) -> Page:
    return person.page


async def test_owner_invites_a_person_and_sees_the_link_once(owner: Owner, page: Page) -> None:
    await page.goto(f"{owner.url}/v2/admin/members")
    await page.get_by_role("button", name=re.compile("^Invite")).click()
    dialog = page.get_by_role("dialog", name="Invite a person")
    address = dialog.get_by_role("textbox", name=re.compile("^Address"))
    await address.fill("not an address@")
    await dialog.get_by_role("button", name="Make the link").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("@")
    await expect(address).to_be_focused()
    await expect(address).to_have_value("not an address@")
    await address.fill("ana@example.com")
    await dialog.get_by_role("button", name="Make the link").click()
    shown = page.get_by_role("dialog", name="The invitation")
    await expect(shown).to_contain_text(f"{owner.url}/join?invitation=")
    await shown.get_by_role("button", name="Close").click()
    row = page.get_by_role("row").filter(has_text="ana@example.com")
    await expect(row).to_have_count(1)
    await expect(page.get_by_text("/join?invitation=")).to_have_count(0)

    await row.get_by_role("button", name=re.compile("^Withdraw")).click()
    await page.get_by_role("dialog").get_by_role("button", name="Withdraw", exact=True).click()
    await expect(row.get_by_role("button", name=re.compile("^Withdraw"))).to_have_count(0)


async def test_dialog_that_is_cancelled_changes_nothing(owner: Owner, page: Page) -> None:
    await page.goto(f"{owner.url}/v2/admin/members")
    await page.get_by_role("button", name=re.compile("^Invite")).click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("button", name=re.compile("^Invite")).click()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_owner_makes_a_role_from_a_copy_and_deletes_it(owner: Owner, page: Page) -> None:
    await page.goto(f"{owner.url}/v2/admin/roles")
    await page.get_by_role("button", name="New role").click()
    dialog = page.get_by_role("dialog", name="New role")
    name = dialog.get_by_role("textbox", name=re.compile("^Name"))
    await name.fill("Not A Name")
    await dialog.get_by_role("checkbox", name="write queue").check()
    await dialog.get_by_role("button", name="Create", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("use small letters")
    await expect(dialog.get_by_role("checkbox", name="write queue")).to_be_checked()
    await name.fill("queue-operator")
    await dialog.get_by_role("button", name="Create", exact=True).click()
    column = page.get_by_role("columnheader", name=re.compile("queue-operator"))
    await expect(column).to_be_visible()
    row = page.get_by_role("row", name=re.compile("^queue write"))
    await expect(row.get_by_role("cell").last).to_contain_text("yes")

    await column.get_by_role("button").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    await expect(column).to_have_count(0)


async def test_key_that_the_page_shows_logs_the_flyte_command_in(
    owner: Owner, page: Page, tmp_path: Path
) -> None:
    await page.goto(f"{owner.url}/v2/admin/api-keys")
    await page.get_by_role("button", name="Create a service account").first.click()
    dialog = page.get_by_role("dialog", name="Create a service account")
    await dialog.get_by_role("textbox", name="Name").fill("nightly")
    await dialog.get_by_role("button", name="Create", exact=True).click()
    await page.get_by_role("button", name="Create a key of nightly").click()
    dialog = page.get_by_role("dialog", name="Create a key of nightly")
    await dialog.get_by_role("textbox", name="Name").fill("ci")
    await dialog.get_by_role("button", name="Create", exact=True).click()
    command = page.get_by_role("dialog", name="The key ci").locator("pre")
    await expect(command).to_contain_text("FLYTE_API_KEY")
    shown = await command.inner_text()
    lines = re.fullmatch(r"export FLYTE_API_KEY=(\S+)\nflyte (--endpoint \S+ get project)", shown)
    assert lines is not None, shown
    key, command_line = lines.groups()
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_text(key)).to_have_count(0)

    await page.goto(f"{owner.url}/v2/admin/roles")
    await page.get_by_role("button", name="Bind a role").click()
    dialog = page.get_by_role("dialog", name="Bind a role")
    await expect(dialog.get_by_role("combobox", name="Who", exact=True)).to_contain_text("nightly")
    await dialog.get_by_role("button", name="Bind", exact=True).click()
    await expect(page.get_by_role("table", name="Role bindings")).to_contain_text("contributor")
    listed = await _flyte(owner, tmp_path, key, command_line)
    assert listed.startswith("0 "), listed

    await page.goto(f"{owner.url}/v2/admin/api-keys")
    await page.get_by_role("button", name="Revoke the key ci").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    await expect(page.get_by_role("button", name="Revoke the key ci")).to_have_count(0)
    refused = await _flyte(owner, tmp_path, key, command_line)
    assert not refused.startswith("0 "), refused


async def _flyte(owner: Owner, home: Path, key: str, command_line: str) -> str:
    """Run the unmodified ``flyte`` as the page says; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("flyte")),
        *command_line.split(),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "SSL_CERT_FILE": str(owner.up.data / "tls/ca.crt"),
            "FLYTE_API_KEY": key,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return f"{process.returncode} {output.decode()}"


async def test_audit_log_names_who_joined_and_what_was_invited(owner: Owner, page: Page) -> None:
    await page.goto(f"{owner.url}/v2/admin/audit?action=member.join")
    records = page.get_by_role("table", name="Audit records")
    await expect(records.get_by_role("row").filter(has_text="member.join").first).to_be_visible()
    await page.goto(f"{owner.url}/v2/admin/audit")
    await expect(records).to_contain_text("invitation.create")

    await page.goto(f"{owner.url}/v2/admin/members")
    await page.get_by_role("link", name=re.compile("^History of")).first.click()
    await expect(records.get_by_role("row").filter(has_text="member.join").first).to_be_visible()


async def test_pages_of_administration_fit_wide_and_narrow_windows(
    owner: Owner, person: Person
) -> None:
    for name in _PAGES:
        await person.page.goto(f"{owner.url}/v2/admin/{name}")
        await expect(person.page.get_by_role("heading", level=1)).to_be_visible()
        await person.page.wait_for_load_state("networkidle")
        await person.picture(name)
