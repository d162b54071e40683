"""Logging in a device: its user enters the code in a browser, where they are logged in."""

import asyncio
from datetime import timedelta

import pytest

from controlplane.core.oauth import DEVICE_CODE_LIVES, POLL_INTERVAL
from shared.kit.secrets import SecretText
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.oauth.world import ADA, Client, World, form_fields

SECOND = timedelta(seconds=1)


async def test_device_is_logged_in_once_its_code_is_allowed(
    client: Client, world: World, clock: FakeClock
) -> None:
    started = await client.start_device(scope="all", audience="")
    assert started["verification_uri"] == f"{world.public_url}/device"
    assert started["verification_uri_complete"].endswith(f"?user_code={started['user_code']}")
    assert (started["interval"], started["expires_in"]) == (5, 600)
    assert (await client.poll(started["device_code"])).json()["error"] == "authorization_pending"

    page = await client.decide(started["user_code"], "allow")
    assert "logged in in a moment" in page.text
    clock.advance(POLL_INTERVAL)
    answer = await client.poll(started["device_code"])
    assert answer.status_code == 200
    token = world.tokens.verify(SecretText(answer.json()["access_token"]))
    assert (token.subject, token.org) == (ADA, ORG)
    assert (await client.refresh(answer.json()["refresh_token"])).status_code == 200


async def test_page_names_the_device_and_the_person(client: Client) -> None:
    started = await client.start_device()
    client.http.cookies.set("person", "ada")
    entry = await client.http.get("/device", params={"user_code": started["user_code"]})
    assert started["user_code"] in entry.text
    found = await client.http.post(
        "/device",
        data={**form_fields(entry), "user_code": started["user_code"], "decision": "find"},
    )
    assert "from the address 192.0.2.1" in found.text
    assert "act for <b>Ada</b> in the org <b>acme</b>" in found.text


async def test_code_in_a_link_is_never_allowed_without_a_form(client: Client) -> None:
    started = await client.start_device()
    client.http.cookies.set("person", "ada")
    await client.http.get("/device", params={"user_code": started["user_code"]})
    forged = {"user_code": started["user_code"], "decision": "allow", "csrf_token": "x"}
    assert (await client.http.post("/device", data=forged)).status_code == 400
    assert (await client.poll(started["device_code"])).json()["error"] == "authorization_pending"


async def test_page_of_a_device_leads_to_the_login_and_back(client: Client) -> None:
    answer = await client.http.get("/device", params={"user_code": "BCDF-GHJK"})
    assert answer.status_code == 303
    assert "return_to=%2Fdevice%3Fuser_code%3DBCDF-GHJK" in answer.headers["location"]


async def test_denied_device_is_told(client: Client, clock: FakeClock) -> None:
    started = await client.start_device()
    await client.decide(started["user_code"], "deny")
    assert (await client.poll(started["device_code"])).json()["error"] == "access_denied"
    clock.advance(POLL_INTERVAL)
    assert (await client.poll(started["device_code"])).json()["error"] == "invalid_grant"


async def test_device_that_polls_too_fast_is_told_to_slow_down(client: Client) -> None:
    started = await client.start_device()
    await client.poll(started["device_code"])
    assert (await client.poll(started["device_code"])).json()["error"] == "slow_down"


async def test_device_code_expires(client: Client, clock: FakeClock) -> None:
    started = await client.start_device()
    clock.advance(DEVICE_CODE_LIVES)
    assert (await client.poll(started["device_code"])).json()["error"] == "expired_token"
    page = await client.decide(started["user_code"], "allow")
    assert page.status_code == 404


async def test_device_code_is_redeemed_once_and_its_replay_ends_the_login(
    client: Client, world: World
) -> None:
    started = await client.start_device()
    await client.decide(started["user_code"], "allow")
    answers = await asyncio.gather(*(client.poll(started["device_code"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400]
    replayed = await client.poll(started["device_code"])
    assert replayed.json()["error"] == "invalid_grant"
    assert len(await world.read_revocations()) == 1


async def test_device_code_of_another_client_is_refused(client: Client) -> None:
    started = await client.start_device()
    await client.decide(started["user_code"], "allow")
    stolen = await client.token(
        "urn:ietf:params:oauth:grant-type:device_code",
        device_code=started["device_code"],
        client_id="volary",
    )
    assert stolen.json()["error"] == "invalid_grant"
    assert (await client.poll(started["device_code"])).status_code == 200


async def test_unknown_client_starts_no_device_login(client: Client) -> None:
    answer = await client.http.post("/oauth2/device", data={"client_id": "unknown"})
    assert answer.json()["error"] == "invalid_client"


async def test_guessing_user_codes_is_limited(client: Client, clock: FakeClock) -> None:
    started = await client.start_device()
    for _ in range(10):
        assert (await client.decide("BCDF-GHJK", "allow")).status_code == 404
    assert (await client.decide(started["user_code"], "allow")).status_code == 429
    clock.advance(timedelta(seconds=30))
    assert (await client.decide(started["user_code"], "allow")).status_code == 200


async def test_device_logins_of_an_address_are_limited(client: Client, world: World) -> None:
    for _ in range(50):
        await client.start_device()
    refused = await client.http.post("/oauth2/device", data={"client_id": "flyte"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    other = world.client("192.0.2.2")
    async with other.http:
        await other.start_device()


@pytest.mark.parametrize("code", ["", "<script>", "BCDF-GHJ%"])
async def test_wrong_user_code_is_shown_escaped(client: Client, code: str) -> None:
    page = await client.decide(code, "allow")
    assert page.status_code == 404
    assert "<script>" not in page.text
