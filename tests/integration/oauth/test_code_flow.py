"""Logging in by a code and PKCE: what works, and every way in which a code is no good."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from controlplane.core.callers import Permission
from controlplane.core.oauth import CODE_LIVES
from shared.kit.secrets import SecretText
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.oauth.world import (
    ADA,
    CALLBACK,
    VERIFIER,
    Client,
    World,
    form_fields,
    parameters,
)


async def test_person_who_allows_it_logs_in_the_program(client: Client, world: World) -> None:
    first = await client.authorize()
    assert first.status_code == 303
    login = urlsplit(first.headers["location"])
    [return_to] = parse_qs(login.query)["return_to"]
    assert login.path == "/login"
    await client.http.get("/login/ada", params={"return_to": return_to})

    page = await client.http.get(return_to)
    assert "act for <b>Ada</b> in the org <b>acme</b>" in page.text
    answer = await client.allow(page)
    assert answer.status_code == 303
    location = urlsplit(answer.headers["location"])
    assert location._replace(query="").geturl() == CALLBACK
    query = parse_qs(location.query)
    assert query["state"] == ["the-state"]

    tokens = (await client.redeem(query["code"][0])).json()
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert tokens["expires_in"] == 900
    caller = await world.authn.authenticate(
        {"authorization": f"Bearer {tokens['access_token']}"}, None
    )
    assert (caller.subject, caller.org) == (ADA, ORG)
    assert caller.may(Permission.RUN_CREATE)


async def test_parameters_that_the_sdk_repeats_are_accepted(client: Client) -> None:
    """The SDK sends the authorization request's parameters again when it redeems the code."""
    code = await client.obtain_code(audience="https://volary.example", scope="offline openid")
    extras = parameters(audience="https://volary.example")
    answer = await client.redeem(code, **extras)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


async def test_program_that_is_not_allowed_gets_no_redirect(client: Client) -> None:
    client.http.cookies.set("person", "ada")
    answer = await client.allow(await client.authorize(), "deny")
    assert answer.status_code == 200
    assert "Not allowed" in answer.text
    assert "location" not in answer.headers


async def test_volary_command_that_is_not_allowed_gets_the_error_at_its_own_address(
    client: Client,
) -> None:
    client.http.cookies.set("person", "ada")
    answer = await client.allow(await client.authorize(client_id="volary"), "deny")
    address = urlsplit(answer.headers["location"])
    assert address._replace(query="").geturl() == CALLBACK
    assert parse_qs(address.query)["error"] == ["access_denied"]
    assert parse_qs(address.query)["state"] == ["the-state"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"redirect_uri": "https://evil.example/callback"}, "redirect_uri"),
        ({"redirect_uri": "http://localhost:80@evil.example/callback"}, "redirect_uri"),
        ({"redirect_uri": "http://localhost:53593/callback/../x"}, "redirect_uri"),
        ({"redirect_uri": 'http://localhost:1/callback"'}, "does not allow"),
        ({"redirect_uri": None}, "redirect_uri"),
        ({"client_id": "unknown"}, "client does not exist"),
        ({"client_id": None}, "client_id"),
        ({"client_id": "ak-0123"}, "redirect_uri"),
        ({"response_type": "token"}, "is not supported"),
        ({"response_type": 'x"y'}, "does not allow"),
        ({"response_type": None}, "is not supported"),
        ({"code_challenge": None}, "needs a code_challenge"),
        ({"code_challenge": None, "code_challenge_method": None}, "needs a code_challenge"),
        ({"code_challenge_method": None}, "code_challenge_method=S256"),
        ({"code_challenge_method": "plain"}, "code_challenge_method=S256"),
        ({"code_challenge": "short"}, "Invalid code_challenge"),
        ({"state": "é"}, "does not allow"),
    ],
    ids=str,
)
async def test_wrong_authorization_request_is_an_error_on_our_page(
    client: Client, changed: Mapping[str, str | None], reason: str
) -> None:
    client.http.cookies.set("person", "ada")
    page = await client.authorize(**changed)
    assert page.status_code == 400
    assert "location" not in page.headers
    assert reason in page.text.replace("&#x27;", "")


async def test_authorization_request_with_a_parameter_twice_is_refused(client: Client) -> None:
    client.http.cookies.set("person", "ada")
    twice = urlencode([*parameters().items(), ("redirect_uri", "https://evil.example/callback")])
    page = await client.http.get(f"/oauth2/authorize?{twice}")
    assert page.status_code == 400
    assert "twice" in page.text


async def test_text_of_a_request_is_escaped_on_pages(client: Client) -> None:
    client.http.cookies.set("person", "ada")
    page = await client.authorize(client_id="<script>")
    assert "<script>" not in page.text
    page = await client.authorize(state="<b>&amp;")
    assert page.status_code == 200
    assert "<b>&amp;" not in page.text


async def test_form_without_the_sessions_token_is_refused(client: Client) -> None:
    client.http.cookies.set("person", "ada")
    page = await client.authorize()
    for fields in ({}, {"csrf_token": "csrf-of-bob"}, {"csrf_token": ""}):
        answer = await client.http.post(str(page.url), data={**fields, "decision": "allow"})
        assert answer.status_code == 400
        assert "location" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_form_of_another_site_is_refused(client: Client, site: str) -> None:
    client.http.cookies.set("person", "ada")
    page = await client.authorize()
    fields = {**form_fields(page), "decision": "allow"}
    answer = await client.http.post(str(page.url), data=fields, headers={"sec-fetch-site": site})
    assert answer.status_code == 400


async def test_pages_cannot_be_framed_or_kept(client: Client) -> None:
    client.http.cookies.set("person", "ada")
    for page in (await client.authorize(), await client.authorize(client_id="x")):
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"


async def test_code_is_redeemed_once_and_its_replay_ends_the_login(
    client: Client, world: World
) -> None:
    code = await client.obtain_code()
    tokens = (await client.redeem(code)).json()
    world.tokens.verify(SecretText(tokens["access_token"]))
    replayed = await client.redeem(code)
    assert replayed.status_code == 400
    assert replayed.json()["error"] == "invalid_grant"
    assert (await client.refresh(tokens["refresh_token"])).status_code == 400
    [revoked] = await world.read_revocations()
    assert revoked.id == world.tokens.verify(SecretText(tokens["access_token"])).credential_id


async def test_five_exchanges_of_a_code_at_once_give_one_answer(client: Client) -> None:
    code = await client.obtain_code()
    answers = await asyncio.gather(*(client.redeem(code) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "http://localhost:1/callback"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"client_id": "volary"}, "invalid_grant"),
        ({"client_id": "unknown"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client"),
    ],
    ids=str,
)
async def test_code_with_a_wrong_parameter_is_refused_and_burnt(
    client: Client, changed: Mapping[str, str], error: str
) -> None:
    code = await client.obtain_code()
    refused = await client.redeem(code, **changed)
    assert refused.status_code == 400
    assert refused.json()["error"] == error
    if error == "invalid_grant":
        assert (await client.redeem(code)).status_code == 400


async def test_code_expires(client: Client, clock: FakeClock) -> None:
    code = await client.obtain_code()
    clock.advance(CODE_LIVES - timedelta(seconds=1))
    other = await client.obtain_code()
    clock.advance(timedelta(seconds=1))
    assert (await client.redeem(code)).json()["error"] == "invalid_grant"
    assert (await client.redeem(other)).status_code == 200


async def test_code_of_a_removed_member_is_refused(client: Client, world: World) -> None:
    code = await client.obtain_code()
    world.directory.members.remove((ORG, ADA))
    refused = await client.redeem(code)
    assert refused.json()["error"] == "invalid_grant"
    assert "no member" in refused.json()["error_description"]


async def test_unknown_code_is_refused(client: Client) -> None:
    assert (await client.redeem("unknown")).json()["error"] == "invalid_grant"
    missing = await client.token("authorization_code", code_verifier=VERIFIER)
    assert missing.json()["error"] == "invalid_request"


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changed=strategies.dictionaries(
        strategies.sampled_from([*parameters(), "request", "prompt"]),
        strategies.none() | strategies.text(max_size=30) | strategies.sampled_from(["", "flyte"]),
        max_size=4,
    )
)
async def test_arbitrary_authorization_request_is_answered_with_a_page(
    world: World, changed: dict[str, str | None]
) -> None:
    client = world.client()
    async with client.http:
        client.http.cookies.set("person", "ada")
        page = await client.authorize(**changed)
    assert page.status_code in {200, 400}, page.text
    assert "location" not in page.headers
