"""Refreshing, API keys, revoking, introspection, keys, metadata, and malformed requests."""

import asyncio
from datetime import timedelta
from itertools import count
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from joserfc import jwt
from joserfc.jwk import KeySet

from controlplane.core.attempt_callers import CLIENT_ID, credential_of, subject_of
from controlplane.core.errors import UnauthenticatedError
from controlplane.core.oauth import GRACE
from shared.kit.secrets import SecretText
from shared.model.ids import ActionId, LeaseId, OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.oauth.world import ADA, API_KEY, API_SECRET, SERVICE, Client, World


async def test_refresh_answers_with_both_tokens(client: Client, world: World) -> None:
    tokens = await client.log_in()
    answer = await client.refresh(tokens["refresh_token"], scope="all", audience="")
    assert answer.status_code == 200
    refreshed = answer.json()
    assert refreshed["refresh_token"] != tokens["refresh_token"]
    old, new = (
        world.tokens.verify(SecretText(each["access_token"])) for each in (tokens, refreshed)
    )
    assert old.credential_id == new.credential_id
    assert old.id != new.id


async def test_four_refreshes_at_once_all_succeed_with_one_successor(client: Client) -> None:
    tokens = await client.log_in()
    answers = await asyncio.gather(*(client.refresh(tokens["refresh_token"]) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_replayed_refresh_token_ends_the_login_on_every_replica(
    client: Client, world: World, clock: FakeClock
) -> None:
    tokens = await client.log_in()
    refreshed = (await client.refresh(tokens["refresh_token"])).json()
    clock.advance(GRACE + timedelta(seconds=1))
    replayed = await client.refresh(tokens["refresh_token"])
    assert replayed.json()["error"] == "invalid_grant"
    assert (await client.refresh(refreshed["refresh_token"])).status_code == 400
    await world.read_revocations()
    with pytest.raises(UnauthenticatedError, match="was revoked"):
        await world.authn.authenticate(
            {"authorization": f"Bearer {refreshed['access_token']}"}, None
        )


async def test_refresh_of_a_removed_member_ends_the_login(client: Client, world: World) -> None:
    tokens = await client.log_in()
    world.directory.members.remove((ORG, ADA))
    refused = await client.refresh(tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"
    assert len(await world.read_revocations()) == 1


async def test_refresh_token_of_one_client_is_refused_to_another(client: Client) -> None:
    tokens = await client.log_in()
    refused = await client.refresh(tokens["refresh_token"], client_id="volary")
    assert refused.json()["error"] == "invalid_grant"
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_api_key_gets_an_access_token_and_no_refresh_token(
    client: Client, world: World
) -> None:
    answer = await client.use_api_key()
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
    token = world.tokens.verify(SecretText(answer.json()["access_token"]))
    assert (token.subject, token.org) == (SERVICE, ORG)
    assert (token.credential_kind, token.credential_id) == ("api_key", API_KEY)


async def test_api_key_may_be_sent_in_the_form(client: Client) -> None:
    answer = await client.token("client_credentials", client_id=API_KEY, client_secret=API_SECRET)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("key", "secret"),
    [(API_KEY, "wrong"), ("ak-unknown", API_SECRET), ("flyte", API_SECRET), (API_KEY, "")],
)
async def test_wrong_api_key_gets_one_and_the_same_error(
    client: Client, key: str, secret: str
) -> None:
    answer = await client.http.post(
        "/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=httpx.BasicAuth(key, secret),
    )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert answer.json() == {
        "error": "invalid_client",
        "error_description": "the client or API key is unknown, expired or revoked, its secret is"
        " wrong, or it may not do this",
    }


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ", "Basic !!!", "Basic /w==", "Basic YWs=", "Bearer x", "Basic Og=="],
)
async def test_malformed_basic_credentials_are_refused(client: Client, header: str) -> None:
    answer = await client.http.post(
        "/oauth2/token",
        data={"grant_type": "client_credentials"},
        headers={"authorization": header},
    )
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == "invalid_client"


async def test_public_client_cannot_use_client_credentials(client: Client) -> None:
    answer = await client.token("client_credentials")
    assert answer.json()["error"] == "invalid_client"


async def test_api_key_cannot_use_the_grants_of_people(client: Client) -> None:
    for grant in ("authorization_code", "refresh_token"):
        answer = await client.use_api_key(grant_type=grant, code="x", refresh_token="x")  # noqa: S106
        assert answer.json()["error"] == "invalid_client"


async def test_revoking_either_token_ends_the_login(client: Client, world: World) -> None:
    for kind in ("access_token", "refresh_token"):
        tokens = await client.log_in()
        data = {"client_id": "flyte", "token": tokens[kind], "token_type_hint": "access_token"}
        answer = await client.http.post("/oauth2/revoke", data=data)
        assert answer.status_code == 200
        assert (await client.refresh(tokens["refresh_token"])).status_code == 400
    assert len(await world.read_revocations()) == 2


async def test_revoking_an_unknown_token_succeeds(client: Client) -> None:
    data = {"client_id": "flyte", "token": "unknown"}
    assert (await client.http.post("/oauth2/revoke", data=data)).status_code == 200


async def test_token_of_another_client_is_not_revoked(client: Client) -> None:
    tokens = await client.log_in()
    data = {"client_id": "volary", "token": tokens["refresh_token"]}
    answer = await client.http.post("/oauth2/revoke", data=data)
    assert answer.json()["error"] == "invalid_grant"
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_token_of_an_api_key_is_revoked_by_revoking_the_key(client: Client) -> None:
    token = (await client.use_api_key()).json()["access_token"]
    answer = await client.http.post(
        "/oauth2/revoke", data={"token": token}, auth=httpx.BasicAuth(API_KEY, API_SECRET)
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_token_type"


async def introspect(client: Client, token: str) -> httpx.Response:
    return await client.http.post(
        "/oauth2/introspect", data={"token": token}, auth=httpx.BasicAuth(API_KEY, API_SECRET)
    )


async def test_introspection_describes_valid_tokens_of_the_keys_org(
    client: Client, world: World
) -> None:
    tokens = await client.log_in()
    access = (await introspect(client, tokens["access_token"])).json()
    assert access["active"]
    assert (access["sub"], access["org"], access["iss"]) == (ADA, ORG, world.public_url)
    refresh = (await introspect(client, tokens["refresh_token"])).json()
    assert (refresh["active"], refresh["sub"]) == (True, ADA)


async def test_introspection_says_nothing_of_other_tokens(
    client: Client, world: World, clock: FakeClock
) -> None:
    tokens = await client.log_in()
    inactive = {"active": False}
    world.directory.keys[API_KEY] = (API_SECRET, OrgName("other"), SERVICE)
    assert (await introspect(client, tokens["access_token"])).json() == inactive
    assert (await introspect(client, tokens["refresh_token"])).json() == inactive
    world.directory.keys[API_KEY] = (API_SECRET, ORG, SERVICE)
    assert (await introspect(client, "unknown")).json() == inactive
    refreshed = (await client.refresh(tokens["refresh_token"])).json()
    assert (await introspect(client, tokens["refresh_token"])).json() == inactive
    clock.advance(timedelta(hours=1))
    world.revocations.add([], clock.now())
    assert (await introspect(client, refreshed["access_token"])).json() == inactive


async def test_introspection_says_nothing_of_revoked_tokens(client: Client, world: World) -> None:
    tokens = await client.log_in()
    data = {"client_id": "flyte", "token": tokens["refresh_token"]}
    await client.http.post("/oauth2/revoke", data=data)
    await world.read_revocations()
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await introspect(client, token)).json() == {"active": False}


async def test_token_of_a_task_is_neither_introspected_nor_accepted_outside_the_api(
    client: Client, world: World
) -> None:
    """Its validity follows from its attempt, which only the API looks up."""
    token = world.tokens.issue(
        subject=subject_of(ActionId(uuid4())),
        org=ORG,
        client_id=CLIENT_ID,
        credential=credential_of(LeaseId(uuid4())),
    )
    assert (await introspect(client, token.reveal())).json() == {"active": False}
    with pytest.raises(UnauthenticatedError, match="calls the API only"):
        await world.authn.authenticate({"authorization": f"Bearer {token.reveal()}"}, None)


async def test_introspection_is_for_confidential_clients_only(client: Client) -> None:
    tokens = await client.log_in()
    data = {"client_id": "flyte", "token": tokens["access_token"]}
    answer = await client.http.post("/oauth2/introspect", data=data)
    assert answer.json()["error"] == "invalid_client"


async def test_published_keys_verify_access_tokens(client: Client) -> None:
    tokens = await client.log_in()
    answer = await client.http.get("/oauth2/jwks")
    assert answer.headers["cache-control"] == "public, max-age=300"
    keys = KeySet.import_key_set(answer.json())
    decoded = jwt.decode(tokens["access_token"], keys, algorithms=["ES256"])
    assert decoded.claims["sub"] == ADA
    assert all("d" not in key for key in answer.json()["keys"])


async def test_metadata_names_endpoints_that_exist(client: Client, world: World) -> None:
    first, second = [
        (await client.http.get(f"/.well-known/{name}")).json()
        for name in ("oauth-authorization-server", "openid-configuration")
    ]
    assert first == second
    assert first["issuer"] == world.public_url
    assert first["code_challenge_methods_supported"] == ["S256"]
    for name, address in first.items():
        if name.endswith("_endpoint"):
            path = address.removeprefix(world.public_url)
            answer = await client.http.request(
                "GET" if name == "authorization_endpoint" else "POST", path
            )
            assert answer.status_code == 400, name


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/json"),
        (b"", ""),
        (b"grant_type=refresh_token&grant_type=refresh_token", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"a=%00", "application/x-www-form-urlencoded"),
        (b"a=b&" * 50, "application/x-www-form-urlencoded"),
        (b"a=" + b"b" * 20_000, "application/x-www-form-urlencoded"),
    ],
    ids=["json", "none", "twice", "not UTF-8", "not ASCII", "NUL", "many", "large"],
)
async def test_malformed_form_is_an_invalid_request(
    client: Client, content: bytes, kind: str
) -> None:
    for path in ("token", "device", "revoke", "introspect"):
        answer = await client.http.post(
            f"/oauth2/{path}", content=content, headers={"content-type": kind}
        )
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize("path", ["token", "revoke", "introspect", "device"])
async def test_public_client_with_a_secret_is_refused(client: Client, path: str) -> None:
    data = {"grant_type": "refresh_token", "client_id": "flyte", "client_secret": "x"}
    answer = await client.http.post(f"/oauth2/{path}", data=data)
    assert answer.json()["error"] == "invalid_client"


async def test_unknown_grant_is_named_in_the_error(client: Client) -> None:
    answer = await client.token("password", username="ada", password="x")  # noqa: S106
    assert answer.json()["error"] == "unsupported_grant_type"


_NAMES = strategies.sampled_from([
    "grant_type", "client_id", "client_secret", "code", "redirect_uri", "code_verifier",
    "refresh_token", "device_code", "scope", "token", "token_type_hint", "audience", "x",
])  # fmt: skip
_VALUES = strategies.one_of(
    strategies.text(max_size=20),
    strategies.sampled_from([
        "flyte", API_KEY, API_SECRET, "refresh_token", "authorization_code", "client_credentials",
        "urn:ietf:params:oauth:grant-type:device_code", "v" * 43, "access_token",
    ]),
)  # fmt: skip


_PEERS = count()


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    path=strategies.sampled_from(["token", "device", "revoke", "introspect"]),
    form=strategies.dictionaries(_NAMES, _VALUES, max_size=6),
    as_key=strategies.booleans(),
)
async def test_arbitrary_form_gets_an_answer_that_is_no_failure_of_ours(
    world: World, path: str, form: dict[str, str], *, as_key: bool
) -> None:
    auth = httpx.BasicAuth(API_KEY, API_SECRET) if as_key else None
    client = world.client(peer=f"192.0.2.{next(_PEERS) % 256}")  # so that few are limited
    async with client.http as http:
        if auth is None:
            answer = await http.post(f"/oauth2/{path}", data=form)
        else:
            answer = await http.post(f"/oauth2/{path}", data=form, auth=auth)
    assert answer.status_code < 500, answer.text
    assert isinstance(answer.json(), dict)
