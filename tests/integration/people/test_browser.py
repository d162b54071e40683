"""People of two orgs log in at real providers, in a real browser, and use every page."""

import base64
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Browser

from controlplane.authn.sealing import Sealer
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity_providers import ProviderSettings
from controlplane.store.database import open_database
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.providers import IdentityProviders
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.ids import OrgName
from tests.browsers import HOME, chromium, person_at
from tests.integration.oauth.world import CALLBACK, parameters
from tests.integration.replicas.world import context
from tests.ports import free_ports
from tests.programs import Program
from tests.servers import oidc_provider
from tests.servers.oidc_provider import ADA, SECRET, OidcProviderForTests
from tests.servers.postgres import DatabaseForTest

EVE = {**ADA, "name": "Eve Other", "email": "eve@theirs.example", "groups": []}


@dataclass(frozen=True, slots=True)
class Installation:
    """A control plane as a process, and a provider for each of two orgs."""

    url: str
    database: DatabaseForTest
    key: bytes

    async def add_org(
        self, org: str, provider: OidcProviderForTests, domain: str, name: str = "single sign-on"
    ) -> str:
        """Create an org with its provider, as an operator does; return its owner link."""
        database, clock = open_database(self.database.url), SystemClock()
        caller = Caller(
            subject=Subject("operator:test"),
            org=OrgName(org),
            name="",
            grants=org_wide(EVERYTHING),
        )
        try:
            token = await Invitations(database, clock).create_owner_link(caller)
            sealer = Sealer([SecretBytes(self.key)])
            await IdentityProviders(database, sealer, clock, allow_http=True).create(
                caller,
                ProviderSettings(
                    name=f"{org} {name}",
                    issuer=provider.issuer,
                    client_id=provider.client_id,
                    scopes=("openid", "email", "profile", "groups", "offline_access"),
                    groups_claim="groups",
                    email_domains=(domain,),
                    role="viewer",
                ),
                SecretText(SECRET),
            )
        finally:
            await database.close()
        return f"{self.url}/join?invitation={token.reveal()}"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def installation(
    test_database: DatabaseForTest, tmp_path: Path
) -> AsyncIterator[Installation]:
    http_port, link_port = free_ports(2)
    url, key = f"http://localhost:{http_port}", secrets.token_bytes(32)
    replica = Program(
        "replica",
        [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"],
        logs=tmp_path,
        environment={
            **context(tmp_path),
            "VOLARY_DATABASE_URL": test_database.url,
            "VOLARY_BLOB_BASE": (tmp_path / "blobs").as_uri(),
            "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
            "VOLARY_CLUSTER_TOKEN": "the-token-of-a-cluster-of-tests",
            "VOLARY_HTTP_PORT": str(http_port),
            "VOLARY_LINK_PORT": str(link_port),
            "VOLARY_AUTH": "oidc",
            "VOLARY_SEALING_KEY": base64.b64encode(key).decode(),
            "VOLARY_OIDC_PRIVATE_ADDRESSES": "true",
        },
    )
    with replica.running():
        replica.wait_until(partial(_is_ready, url), "ready", within=60)
        yield Installation(url, test_database, key)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


async def test_people_of_two_orgs_log_in_and_see_only_their_own(
    installation: Installation, browser: Browser, tmp_path: Path
) -> None:
    url = installation.url
    callback = [f"{url}/login/callback"]
    pictures = tmp_path / "pictures"
    async with AsyncExitStack() as stack:
        provider_of = {
            org: stack.enter_context(
                oidc_provider.running(
                    tmp_path,
                    name=f"provider-{org}",
                    redirect_uris=callback,
                    logout_uris=[f"{url}/login"],
                    accounts=accounts,
                )
            )
            for org, accounts in (("acme", {"ada": ADA}), ("theirs", {"eve": EVE}))
        }
        await installation.add_org("acme", provider_of["acme"], "acme.example")
        await installation.add_org("theirs", provider_of["theirs"], "theirs.example")
        ada = await stack.enter_async_context(person_at(browser, pictures))
        eve = await stack.enter_async_context(person_at(browser, pictures))

        for person, org, account in ((ada, "acme", "ada"), (eve, "theirs", "eve")):
            # A login that began at a program's page goes on there.
            await person.page.goto(f"{url}/device?user_code=BCDF-GHJK")
            await person.picture("login")
            await person.page.get_by_label("Org or e-mail address").fill(org)
            await person.press("Continue")
            await provider_of[org].log_in_at(person.page, account)
            await person.page.wait_for_url(f"{url}/device?user_code=BCDF-GHJK")
            code = person.page.get_by_label("Code shown by the device")
            assert await code.input_value() == "BCDF-GHJK"
            await person.picture("device")
            await person.press("Continue")
            assert "No device waits" in await person.page.inner_text("main")
            await person.picture("device-unknown")

        await eve.page.goto(f"{url}/orgs")
        text = await eve.page.inner_text("body")
        assert "theirs" in text
        assert "acme" not in text
        await eve.page.goto(f"{url}/sessions")
        assert "Ada" not in await eve.page.inner_text("body")

        await ada.page.goto(f"{url}/orgs")
        await ada.picture("orgs")
        await ada.page.goto(f"{url}/sessions")
        await ada.picture("sessions")
        await ada.press("Log out")
        await ada.picture("logged-out")
        await ada.press("Log out at your identity provider too")
        await ada.page.wait_for_url(f"{provider_of['acme'].issuer}/session/end**")
        assert ada.errors_at(url) == []
        assert eve.errors_at(url) == []
    assert len(list(pictures.glob("*-narrow-dark.png"))) == 6


async def test_login_pages_can_be_used_by_everyone(
    installation: Installation, browser: Browser, tmp_path: Path
) -> None:
    """Pages that a person sees on the way, and where a login fails: axe finds nothing in them."""
    url, pictures = installation.url, tmp_path / "pictures"
    callback = [f"{url}/login/callback"]
    with (
        oidc_provider.running(tmp_path, name="first", redirect_uris=callback) as first,
        oidc_provider.running(tmp_path, name="second", redirect_uris=callback) as second,
    ):
        await installation.add_org("acme", first, "acme.example")
        link = await installation.add_org("acme", second, "acme.example", "partners")
        async with person_at(browser, pictures) as person, httpx.AsyncClient() as device:
            for name, path in {
                "error-invitation": "/join?invitation=unknown",
                "error-callback": "/login/callback?code=x&state=unknown",
                "error-start": f"/login/start?provider={uuid4()}",
            }.items():
                await person.page.goto(url + path)
                await person.picture(name)

            await person.page.goto(f"{url}/login")
            for account, shown in {"nobody@else.example": "unknown", "acme": "choice"}.items():
                await person.page.get_by_label("Org or e-mail address").fill(account)
                await person.press("Continue")
                await person.picture(f"providers-{shown}")
            assert "acme partners" in await person.page.inner_text("main")

            await person.page.goto(link)
            await person.press("Log in by this link")
            await person.page.wait_for_url(HOME)
            await person.page.goto(f"{url}/orgs")
            await person.page.get_by_label("Name").fill("second")
            await person.press("Create")
            await person.page.wait_for_url(HOME)
            await person.page.goto(f"{url}/orgs")
            assert "second" in await person.page.inner_text("main")
            await person.picture("org-switcher")

            await person.page.goto(f"{url}/oauth2/authorize?client_id=unknown")
            await person.picture("error-program")
            for decision in ("Allow", "Deny"):
                begun = await device.post(f"{url}/oauth2/device", data={"client_id": "flyte"})
                await person.page.goto(f"{url}/device?user_code={begun.json()['user_code']}")
                await person.press("Continue")
                await person.picture("device-consent")
                await person.press(decision)
                await person.picture(f"device-{decision}")
            assert person.errors_at(url) == []
    assert len(list(pictures.glob("*-narrow-dark.png"))) == 10


async def test_owner_allows_a_program_and_it_gets_its_code(
    installation: Installation, browser: Browser, tmp_path: Path
) -> None:
    """The form's answer leads to another origin, the program's, which the page's policy allows."""
    with oidc_provider.running(tmp_path, redirect_uris=["https://unused.example/"]) as provider:
        link = await installation.add_org("acme", provider, "acme.example")
        async with person_at(browser, tmp_path / "pictures") as owner:
            await owner.page.goto(link)
            await owner.page.wait_for_url("**/join")
            await owner.picture("join")
            await owner.press("Log in by this link")
            await owner.page.wait_for_url(HOME)

            query = "&".join(f"{name}={value}" for name, value in parameters().items())
            await owner.page.goto(f"{installation.url}/oauth2/authorize?{query}")
            await owner.picture("consent")
            async with owner.page.expect_request(re.compile(f"^{re.escape(CALLBACK)}")) as asked:
                await owner.press("Allow")
            assert "code=" in (await asked.value).url
            assert owner.errors_at(installation.url) == []


async def test_page_cannot_be_framed_and_forms_of_other_sites_are_refused(
    installation: Installation, browser: Browser, tmp_path: Path
) -> None:
    with oidc_provider.running(tmp_path, redirect_uris=["https://unused.example/"]) as provider:
        link = await installation.add_org("acme", provider, "acme.example")
    async with person_at(browser, tmp_path) as owner:
        await owner.page.goto(link)
        await owner.press("Log in by this link")
        await owner.page.wait_for_url(HOME)
        evil = f"""
            <iframe src="{installation.url}/orgs"></iframe>
            <form method="post" action="{installation.url}/orgs">
            <input name="org" value="evil"><button name="decision" value="create">Win</button>
            </form>"""
        await owner.page.route(
            "http://evil.example/", lambda route: route.fulfill(body=evil, content_type="text/html")
        )
        await owner.page.goto("http://evil.example/")
        frame = owner.page.frames[-1]
        assert "Your orgs" not in await frame.content()
        await owner.press("Win")
        assert "refused" in await owner.page.inner_text("body")
        await owner.page.goto(f"{installation.url}/orgs")
        assert "evil" not in await owner.page.inner_text("main")
