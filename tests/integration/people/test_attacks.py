"""Attacks on logins of people: replay, mix-up, fixation, forgery, redirects, hostile providers."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from controlplane.authn.oidc.client import MOST_AT_ONCE, OidcClient, Secrets
from controlplane.core.browser_sessions import ATTEMPT_LIVES, parse_return_path
from controlplane.core.identity_providers import (
    Provider,
    ProviderSettings,
    ProviderUnavailableError,
)
from controlplane.outbound.guard import MAX_ANSWER_BYTES, is_public
from shared.kit.clock import SystemClock
from shared.kit.secrets import new_secret
from shared.kit.uuids import new_uuid
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.people.world import CALLBACK, BrowserForTests, World
from tests.servers import oidc_provider
from tests.servers.http import serving
from tests.servers.oidc_provider import OidcProviderForTests

SESSION = "__Host-volary"


@pytest.fixture
async def provider(world: World, server: OidcProviderForTests) -> Provider:
    await world.owner_link()
    return await world.add_provider(server)


async def answer_of(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> str:
    """Log in at the provider, and return its answer without delivering it."""
    return await server.log_in(browser.theirs, await browser.begin_login(provider), "ada")


async def test_answer_of_a_provider_works_once(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    back = await answer_of(browser, server, provider)
    bound = browser.ours.cookies["__Host-volary-login"]
    assert "You are logged in" in (await browser.ours.get(back)).text
    for browser_has in ({}, {"__Host-volary-login": bound}):
        async with world.browser() as other:
            other.ours.cookies.update(browser_has)
            page = await other.ours.get(back)
            assert page.status_code == 400
            assert "has ended, took too long, or was begun in another browser" in page.text
            assert SESSION not in other.ours.cookies


async def test_of_two_deliveries_at_once_one_logs_in(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    back = await answer_of(browser, server, provider)
    pages = await asyncio.gather(*(browser.ours.get(back) for _ in range(5)))
    assert sorted(page.status_code for page in pages) == [200, 400, 400, 400, 400]


async def test_answer_delivered_to_a_victims_browser_does_not_log_it_in(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    """Login CSRF: the victim would work, unknowingly, in the attacker's account."""
    back = await answer_of(browser, server, provider)
    async with world.browser() as victim:
        await victim.open("/login")  # has a cookie of its own
        page = await victim.open(back, from_elsewhere=True)
        assert page.status_code == 400
        assert SESSION not in victim.ours.cookies


async def test_login_takes_ten_minutes_at_most(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider, clock: FakeClock
) -> None:
    back = await answer_of(browser, server, provider)
    clock.advance(ATTEMPT_LIVES)
    assert (await browser.ours.get(back)).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "x" * 43},
        {"state": ""},
        {"code": "x" * 43},
        {"code": ""},
        {"iss": "https://evil.example"},
        {"iss": ""},
        {"error": "access_denied"},
        {"error": "<script>alert(1)</script>"},
    ],
    ids=str,
)
async def test_altered_answer_is_refused(
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    changed: Mapping[str, str],
) -> None:
    back = await answer_of(browser, server, provider)
    query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    page = await browser.ours.get(f"{CALLBACK}?{urlencode({**query, **changed})}")
    assert page.status_code == 400
    assert "<script>" not in page.text
    assert SESSION not in browser.ours.cookies


async def test_answer_with_a_parameter_twice_is_refused(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    back = await answer_of(browser, server, provider)
    assert (await browser.ours.get(f"{back}&code=x")).status_code == 400


async def test_code_of_one_provider_is_not_sent_to_another(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    tmp_path: Path,
) -> None:
    """Mix-up: a hostile provider answers with the state of a login that it began itself."""
    with oidc_provider.running(tmp_path, redirect_uris=[CALLBACK], name="hostile") as hostile:
        other = await world.add_provider(hostile, name="Hostile")
        begun = parse_qs(urlsplit(await browser.begin_login(other)).query)
        honest = parse_qs(urlsplit(await answer_of(browser, server, provider)).query)
        query = {"code": honest["code"][0], "state": begun["state"][0], "iss": honest["iss"][0]}
        page = await browser.ours.get(f"{CALLBACK}?{urlencode(query)}")
    assert page.status_code == 400
    assert "of another identity provider" in page.text


async def test_login_replaces_the_session_that_the_browser_had(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    """Fixation: a session that an attacker planted must not become the victim's."""
    async with world.browser() as attacker:
        await attacker.submit(await attacker.open(await world.owner_link()), "owner")
        planted = attacker.ours.cookies[SESSION]
        browser.ours.cookies.set(SESSION, planted)
        await browser.log_in(server, provider)
        values = [each.value for each in browser.ours.cookies.jar if each.name == SESSION]
        assert planted not in values[-1:]
        assert (await attacker.open("/orgs")).url.path == "/login"


@pytest.mark.parametrize("path", ["/orgs", "/join", "/sessions", "/logout", "/login", "/device"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_forms_of_other_sites_are_refused(
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    path: str,
    site: str,
) -> None:
    await browser.log_in(server, provider)
    form = {"decision": "create", "org": "evil", "csrf_token": "0" * 64, "id": "x"}
    answer = await browser.ours.post(path, data=form, headers={"sec-fetch-site": site})
    assert answer.status_code in (400, 403)
    assert (await browser.open("/orgs")).url.path == "/orgs"


async def test_form_token_of_another_session_is_refused(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    await browser.log_in(server, provider)
    async with world.browser() as attacker:
        page = await attacker.submit(await attacker.open(await world.owner_link()), "owner")
    answer = await browser.post(page, "create", org="evil")
    assert answer.status_code == 400
    assert "did not come from this page" in answer.text


@pytest.mark.parametrize(
    "going",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/%0d%0aset-cookie:x=y\r\n",
        "http:evil.example",
        "/x#//evil",
        "x" * 3_000,
        "é",
    ],
    ids=lambda text: ascii(text[:30]),
)
async def test_login_never_leads_to_another_host(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider, going: str
) -> None:
    assert parse_return_path(going) == "/"
    address = await browser.begin_login(provider, going)
    page = await browser.ours.get(await server.log_in(browser.theirs, address, "ada"))
    assert 'content="0;url=/"' in page.text
    again = await browser.ours.get("/login", params={"next": going})
    assert again.headers["location"] == "/"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/login", {"mode": "navigate", "dest": "document"}, 200),
        ("/login", {"mode": "navigate", "dest": "iframe"}, 403),
        ("/login", {"mode": "no-cors", "dest": "image"}, 403),
        ("/login", {}, 403),
        ("/orgs", {"mode": "navigate", "dest": "document"}, 403),
        ("/login/start", {"mode": "navigate", "dest": "document"}, 403),
        ("/oauth2/authorize", {"mode": "navigate", "dest": "document"}, 403),
    ],
    ids=str,
)
async def test_other_sites_lead_to_few_pages_and_only_by_a_link(
    browser: BrowserForTests, path: str, headers: Mapping[str, str], status: int
) -> None:
    sent = {f"sec-fetch-{name}": value for name, value in headers.items()}
    answer = await browser.ours.get(path, headers={"sec-fetch-site": "cross-site", **sent})
    assert answer.status_code == status


async def test_cookies_are_for_this_host_over_tls_and_not_for_scripts(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    back = await answer_of(browser, server, provider)
    page = await browser.ours.get(back)
    [session] = [
        each for each in page.headers.get_list("set-cookie") if each.startswith(f"{SESSION}=")
    ]
    for attribute in ("HttpOnly", "Path=/", "SameSite=lax", "Secure", "Max-Age=86400"):
        assert attribute in session
    assert "domain" not in session.lower()
    assert "script" not in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


async def test_begun_logins_of_an_address_are_limited_and_others_go_on(
    world: World, browser: BrowserForTests, provider: Provider
) -> None:
    statuses = set()
    for _ in range(301):
        query = {"provider": str(provider.id), "org": ORG}
        statuses.add((await browser.ours.get("/login/start", params=query)).status_code)
    assert statuses == {303, 429}
    async with world.browser(peer="198.51.100.7") as other:
        await other.begin_login(provider)


async def test_clock_an_hour_off_is_named(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider, clock: FakeClock
) -> None:
    clock.advance(timedelta(hours=-1))
    back = await answer_of(browser, server, provider)
    page = await browser.ours.get(back)
    assert page.status_code == 400
    assert "compare the clocks" in page.text


METADATA = "/.well-known/openid-configuration"


@asynccontextmanager
async def hostile(answer: Response) -> AsyncIterator[Provider]:
    """A provider whose metadata is ``answer``."""

    async def metadata(_request: Request) -> Response:
        return answer

    async with serving(Starlette(routes=[Route(METADATA, metadata)])) as issuer:
        yield provider_at(issuer)


def provider_at(issuer: str) -> Provider:
    settings = ProviderSettings(name="x", issuer=issuer, client_id="volary")
    clock = SystemClock()
    return Provider(id=new_uuid(clock.now()), org=ORG, settings=settings, client_secret=None)


async def begin(client: OidcClient, provider: Provider) -> str:
    secrets = Secrets(state=new_secret(), nonce=new_secret(), verifier=new_secret())
    return await client.authorization_url(provider, secrets)


@pytest.mark.parametrize(
    "answer",
    [
        Response("not json"),
        Response("[]", media_type="application/json"),
        Response("{}", media_type="application/json"),
        Response("[" * 100_000, media_type="application/json"),
        Response("x" * (MAX_ANSWER_BYTES + 1)),
        Response("down", status_code=503),
        RedirectResponse("http://169.254.169.254/latest/meta-data/"),
        Response(json.dumps({"issuer": "https://another.example"}), media_type="application/json"),
    ],
    ids=["text", "list", "empty", "deep", "large", "down", "redirect", "another issuer"],
)
async def test_provider_that_answers_nonsense_is_unavailable(answer: Response) -> None:
    client = OidcClient(SystemClock(), redirect_uri=CALLBACK, allow_private=True)
    async with hostile(answer) as provider:
        with pytest.raises(ProviderUnavailableError):
            await begin(client, provider)
    await client.close()


@pytest.mark.parametrize("endpoint", ["javascript:alert(1)", "file:///etc/passwd", "", 7, None])
async def test_metadata_that_leads_elsewhere_is_refused(endpoint: object) -> None:
    client = OidcClient(SystemClock(), redirect_uri=CALLBACK, allow_private=True)

    async def metadata(request: Request) -> Response:
        issuer = f"http://{request.headers['host']}"
        document = {
            "issuer": issuer,
            "authorization_endpoint": endpoint,
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
        }
        return Response(json.dumps(document), media_type="application/json")

    async with serving(Starlette(routes=[Route(METADATA, metadata)])) as issuer:
        with pytest.raises(ProviderUnavailableError, match="no URL"):
            await begin(client, provider_at(issuer))
    await client.close()


async def test_provider_that_is_slow_delays_no_other(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    """More logins wait for the slow one than it may keep waiting; the others are refused at once."""
    listening = socket.create_server(("127.0.0.1", 0))  # which accepts, and never answers
    with listening:
        slow = provider_at(f"http://127.0.0.1:{listening.getsockname()[1]}")
        client = world.people.client
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(begin(client, slow)) for _ in range(MOST_AT_ONCE)]
            await asyncio.sleep(0)  # each of them has begun
            with pytest.raises(ProviderUnavailableError, match="many logins wait"):
                await begin(client, slow)
            home = await browser.log_in(server, provider)
            assert "Ada Lovelace" in home.text
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "ff02::1", "fec0::1", "::127.0.0.1", "::ffff:0:7f00:1",
        "64:ff9b:1::7f00:1", "5f00::1", "3fff::1", "192.88.99.1", "168.63.129.16",
    ],
)  # fmt: skip
def test_addresses_of_the_installations_network_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0"])
async def test_provider_in_the_private_network_is_not_asked(host: str) -> None:
    client = OidcClient(SystemClock(), redirect_uri=CALLBACK)
    asked = []

    async def metadata(_request: Request) -> Response:
        asked.append(1)
        return Response("{}")

    async with serving(Starlette(routes=[Route(METADATA, metadata)])) as issuer:
        port = urlsplit(issuer).port
        with pytest.raises(ProviderUnavailableError, match="does not answer"):
            await begin(client, provider_at(f"http://{host}:{port}"))
    assert asked == []
    await client.close()
