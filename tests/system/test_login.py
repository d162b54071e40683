"""``volary up --login``: a newcomer logs in by the printed link, and runs a workflow over TLS."""

import asyncio
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from controlplane.web.console import is_built
from scripts.sdk_exits import require_success
from tests.browsers import HOME, chromium, person_at
from tests.integration.cli.world import Person, finish, read_until
from tests.ports import free_ports
from tests.running import until
from tests.servers import volary

_ROOT = Path(__file__).parents[2]
_WITHIN_SECONDS = 120


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[volary.VolaryUp]:
    [port] = free_ports(1)
    home = tmp_path_factory.mktemp("login")
    with volary.running(home / "data", "--login", "--http-port", str(port)) as up:
        up.wait_until_said("Another link")
        yield up


@pytest.fixture
async def page(up: volary.VolaryUp, tmp_path: Path) -> AsyncIterator[Page]:
    """A browser whose person came by another one-time link."""
    async with chromium() as browser, person_at(browser, tmp_path) as person:
        await person.page.goto(owner_link(up))
        await person.page.wait_for_url("**/join")
        await person.press("Log in by this link")
        await person.page.wait_for_url(HOME)
        yield person.page


def owner_link(up: volary.VolaryUp) -> str:
    command = [sys.executable, "-m", "controlplane.cli", "owner-link", "--data-dir", str(up.data)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    found = re.search(r"https://localhost:\d+/join\?invitation=\S+", output)
    assert found is not None, output
    return found[0]


def test_banner_shows_the_link_the_authority_and_the_configuration(up: volary.VolaryUp) -> None:
    output = up.output()
    assert re.search(r"https://localhost:\d+/join\?invitation=[\w-]{43}\n", output)
    assert f"export SSL_CERT_FILE={up.data}/tls/ca.crt" in output
    assert f"flyte --config {up.data}/flyte.yaml run" in output
    assert "ANONYMOUS" not in output
    for secret in ("tls/ca.key", "tls/server.key", "flyte.yaml"):
        assert (up.data / secret).stat().st_mode & 0o077 == 0


def test_port_speaks_tls_of_the_made_up_authority_and_refuses_strangers(
    up: volary.VolaryUp,
) -> None:
    url = f"https://{up.endpoint}"
    trusting = ssl.create_default_context(cafile=str(up.data / "tls/ca.crt"))
    with httpx.Client(verify=trusting) as client:
        assert client.get(f"{url}/readyz").is_success
        answer = client.post(f"{url}/flyteidl2.auth.IdentityService/UserInfo", json={})
        assert answer.status_code == 401
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/readyz")


async def test_owner_makes_an_api_key_in_the_console(up: volary.VolaryUp, page: Page) -> None:
    """The console calls the API by the browser's session; a key's secret is shown once."""
    if not is_built():
        pytest.skip("the console is not built; make console builds it")
    await page.goto(f"https://{up.endpoint}/v2/admin/members")
    await expect(page.get_by_role("row").filter(has_text="owner").first).to_be_visible()
    await expect(page.get_by_text("Nobody logs in here")).to_be_hidden()

    await page.goto(f"https://{up.endpoint}/v2/admin/api-keys")
    await page.get_by_role("button", name="Create a service account").first.click()
    await page.get_by_label("Name").fill("ci")
    await page.get_by_role("button", name="Create", exact=True).click()
    await page.get_by_role("button", name="Create a key of ci").click()
    await page.get_by_label("Name").fill("nightly")
    await page.get_by_role("button", name="Create", exact=True).click()
    dialog = page.get_by_role("dialog", name="The key nightly")
    await expect(dialog.get_by_text("export FLYTE_API_KEY=")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.get_by_role("row").filter(has_text="nightly")).to_be_visible()
    await expect(page.get_by_text("export FLYTE_API_KEY=")).to_be_hidden()


async def test_owner_runs_a_workflow_that_the_browser_allowed(
    up: volary.VolaryUp, page: Page, tmp_path: Path
) -> None:
    """The unmodified command line: PKCE in a real browser, then a run whose page it links to."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o700)
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("flyte")), "--config", str(up.data / "flyte.yaml")),
        *("run", "examples/hello.py", "main", "--name", "you"),
        cwd=_ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "SSL_CERT_FILE": str(up.data / "tls/ca.crt"),
            "BROWSER": f"{browser} %s",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "COLUMNS": "200",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_WITHIN_SECONDS):
        while not opened.exists():
            assert process.returncode is None, (await process.communicate())[0].decode()
            await asyncio.sleep(0.05)
        await page.goto(opened.read_text().strip())
        assert "Owner of local" in await page.inner_text("main")
        await page.get_by_role("button", name="Allow").click()
        output = (await process.communicate())[0].decode()
    require_success(process.returncode, output)
    found = re.search(r"https://localhost:\d+(/v2/domain/[\w/-]+/runs/\w+)", output)
    assert found is not None, output

    await page.goto(f"https://{up.endpoint}{found[1]}")
    async with asyncio.timeout(_WITHIN_SECONDS):
        while "succeeded" not in await page.inner_text("body"):
            await page.reload()
    await page.context.clear_cookies()
    await page.goto(f"https://{up.endpoint}{found[1]}")
    assert page.url.startswith(f"https://{up.endpoint}/login?next=")


async def test_owner_logs_in_the_volary_command_and_ends_its_session(
    up: volary.VolaryUp, page: Page, tmp_path: Path
) -> None:
    """Our own command line: PKCE in a real browser, then commands over the platform API."""
    person = Person(tmp_path / "home", up.data / "tls/ca.crt")
    url = f"https://{up.endpoint}"
    process = await person.start(
        "login", url, "--ca-file", str(person.authority), BROWSER="true %s"
    )
    shown = await read_until(process, r"code_challenge_method=S256\s")
    opened = re.search(r"https://\S+/oauth2/authorize\S+", shown)
    assert opened is not None, shown
    await page.goto(opened[0])
    assert "The Volary command line" in await page.inner_text("main")
    await page.get_by_role("button", name="Allow").click()
    await page.wait_for_url(re.compile(r"http://localhost:\d+/callback"))
    assert "Logged in" in await page.inner_text("body")
    done = await finish(process)
    assert done.code == 0, done.err

    as_json = ("--output", "json")
    who = (await person.run("whoami", *as_json)).json
    assert (who["url"], who["org"]) == (url, "local")
    members = (await person.run("member", "list", "--role", "owner", *as_json)).json["members"]
    assert f"user:{members[0]['userId']}" == who["subject"]
    clusters = (await person.run("cluster", "list", *as_json)).json["clusters"]
    assert [each["name"] for each in clusters] == ["local"]

    sessions = (await person.run("session", "list", *as_json)).json["sessions"]
    [own] = [each for each in sessions if each.get("current")]
    assert own["clientId"] == "volary"
    assert (await person.run("session", "revoke", own["id"], "--yes")).code == 0

    async def has_ended() -> bool:
        return (await person.run("whoami")).code == 4

    await until(has_ended, "the session has ended")
