"""An authorization server on a real database, with a login page and API keys of the tests."""

import html
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from controlplane.authn.sealing import Sealer
from controlplane.authn.signing_keys import make_key
from controlplane.core.callers import EVERYTHING, Caller, Credential, Subject, org_wide
from controlplane.core.credentials import CredentialKind, CredentialOwner, Revocation
from controlplane.core.errors import UnauthenticatedError
from controlplane.core.oauth import Login
from controlplane.oauth.factory import make_authorization
from controlplane.oauth.login_gate import SignedIn
from controlplane.store.credentials.revocations import list_revoked
from controlplane.store.database import Database
from controlplane.usecases.authorization_codes import AuthorizationCodes
from controlplane.usecases.device_codes import DeviceCodes
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.ids import OrgName
from tests.factories import ORG

ADA, BOB = Subject("user:ada"), Subject("user:bob")
SERVICE = Subject("serviceaccount:builder")
API_KEY, API_SECRET = "ak-0123456789abcdef", "0123456789-abcdefghijklmnopqrstuvwxyz_ABCDEF"
CALLBACK = "http://localhost:53593/callback"
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class Directory:
    """Members and API keys, which tests change."""

    def __init__(self) -> None:
        self.members: set[tuple[OrgName, Subject]] = {(ORG, ADA), (ORG, BOB), (ORG, SERVICE)}
        self.keys = {API_KEY: (API_SECRET, ORG, SERVICE)}

    async def resolve(self, org: OrgName, subject: Subject) -> Caller:
        if (org, subject) not in self.members:
            raise UnauthenticatedError(f"{subject} is no member of org {org}")
        return Caller(subject=subject, org=org, name=subject, grants=org_wide(EVERYTHING))

    async def admits(self, _org: OrgName, _provider_org: OrgName) -> bool:
        return True

    async def check(self, client_id: str, secret: SecretText) -> CredentialOwner | None:
        known, org, subject = self.keys.get(client_id, ("", ORG, SERVICE))
        if not known or SecretText(known) != secret:
            return None
        return CredentialOwner(org, subject, Credential(CredentialKind.API_KEY, client_id))


class FixtureGate:
    """A login page with a link for each person; the session is a cookie with their name."""

    async def find_login(self, request: Request, return_to: str) -> SignedIn | Response:
        person = request.cookies.get("person")
        if person is None:
            return RedirectResponse("/login?" + urlencode({"return_to": return_to}), 303)
        return SignedIn(
            login=Login(ORG, Subject(f"user:{person}")),
            name=person.capitalize(),
            csrf_token=SecretText(f"csrf-of-{person}"),
        )

    def routes(self) -> list[BaseRoute]:
        async def show(request: Request) -> Response:
            return_to = html.escape(request.query_params["return_to"])
            return HTMLResponse(f'<form action="/login/ada"><input value="{return_to}"></form>')

        async def log_in(request: Request) -> Response:
            response = RedirectResponse(request.query_params["return_to"], 303)
            response.set_cookie("person", request.path_params["person"])
            return response

        return [Route("/login", show), Route("/login/{person}", log_in)]


@dataclass
class World:
    """One replica's authorization server; ``public_url`` is where clients reach it."""

    database: Database
    clock: Clock
    public_url: str = "https://volary.example"

    def __post_init__(self) -> None:
        self.directory = Directory()
        self.families = TokenFamilies(self.database, self.clock)
        self.devices = DeviceCodes(self.database, Sealer([SecretBytes(b"k" * 32)]), self.clock)
        self.metrics = CollectorRegistry()
        self.gate = FixtureGate()
        self.authorization = make_authorization(
            self.clock,
            public_url=self.public_url,
            codes=AuthorizationCodes(self.database, self.clock),
            devices=self.devices,
            families=self.families,
            resolve=self.directory.resolve,
            admits=self.directory.admits,
            api_keys=self.directory,
            gate=self.gate,
            metrics=self.metrics,
        )
        self.keys, self.tokens = self.authorization.keys, self.authorization.tokens
        self.authn, self.revocations = self.authorization.authn, self.authorization.revocations
        self.keys.replace([make_key(self.clock.now())])
        self.revocations.add([], self.clock.now())
        self.routes: list[BaseRoute] = [*self.authorization.routes, *self.gate.routes()]

    @cached_property
    def application(self) -> Starlette:
        return Starlette(routes=self.routes)

    async def read_revocations(self) -> list[Revocation]:
        """Do what the loop does; return all revocations there are."""
        now = self.clock.now()
        async with self.database.for_fleet("test") as tx:
            found = list(await list_revoked(tx, now.replace(year=2000)))
        self.revocations.add(found, now)
        return found

    def client(self, peer: str = "192.0.2.1") -> "Client":
        transport = httpx.ASGITransport(self.application, client=(peer, 1234))
        return Client(httpx.AsyncClient(transport=transport, base_url=self.public_url))


@dataclass(frozen=True, slots=True)
class Client:
    """Sends the requests of the SDK, of a browser, and of an attacker."""

    http: httpx.AsyncClient

    async def token(self, grant_type: str, **form: str) -> httpx.Response:
        data = {"grant_type": grant_type, "client_id": "flyte", **form}
        return await self.http.post("/oauth2/token", data=data)

    async def use_api_key(self, **form: str) -> httpx.Response:
        """Exchange the API key for an access token, as the SDK does."""
        data = {"grant_type": "client_credentials", "scope": "", **form}
        return await self.http.post(
            "/oauth2/token", data=data, auth=httpx.BasicAuth(API_KEY, API_SECRET)
        )

    async def authorize(self, **changed: str | None) -> httpx.Response:
        """Ask for the consent page, with the parameters of the SDK unless they are changed."""
        return await self.http.get("/oauth2/authorize", params=parameters(**changed))

    async def allow(self, page: httpx.Response, decision: str = "allow") -> httpx.Response:
        return await self.http.post(
            form_action(page), data={**form_fields(page), "decision": decision}
        )

    async def obtain_code(self, **changed: str | None) -> str:
        """Log in as Ada, allow the program, and return the code from the redirect."""
        self.http.cookies.set("person", "ada")
        page = await self.authorize(**changed)
        assert page.status_code == 200, page.text
        answer = await self.allow(page)
        assert answer.status_code == 303, answer.text
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    async def redeem(self, code: str, **changed: str) -> httpx.Response:
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER, **changed}
        return await self.token("authorization_code", **form)

    async def log_in(self) -> Mapping[str, Any]:
        """Return the tokens of a login by code."""
        answer = await self.redeem(await self.obtain_code())
        assert answer.status_code == 200, answer.text
        tokens: Mapping[str, Any] = answer.json()
        return tokens

    async def refresh(self, token: str, **form: str) -> httpx.Response:
        return await self.token("refresh_token", refresh_token=token, **form)

    async def start_device(self, **form: str) -> Mapping[str, Any]:
        answer = await self.http.post("/oauth2/device", data={"client_id": "flyte", **form})
        assert answer.status_code == 200, answer.text
        started: Mapping[str, Any] = answer.json()
        return started

    async def poll(self, device_code: str) -> httpx.Response:
        return await self.token(
            "urn:ietf:params:oauth:grant-type:device_code", device_code=device_code
        )

    async def decide(self, user_code: str, decision: str) -> httpx.Response:
        """Enter a device's code as Ada, and press a button on the page that follows."""
        self.http.cookies.set("person", "ada")
        entry = await self.http.get("/device")
        found = await self.http.post(
            "/device", data={**form_fields(entry), "user_code": user_code, "decision": "find"}
        )
        return found if found.status_code >= 400 else await self.allow(found, decision)


def parameters(**changed: str | None) -> dict[str, str]:
    """Return the SDK's parameters of an authorization request; None removes one."""
    usual: dict[str, str | None] = {
        "client_id": "flyte",
        "response_type": "code",
        "scope": "all",
        "redirect_uri": CALLBACK,
        "state": "the-state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def form_action(page: httpx.Response) -> str:
    match = re.search(r'<form method="post" action="([^"]*)"', page.text)
    assert match, page.text
    return html.unescape(match[1])


def form_fields(page: httpx.Response) -> dict[str, str]:
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text)
    return {name: html.unescape(value) for name, value in fields}
