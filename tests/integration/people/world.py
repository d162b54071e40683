"""One replica's pages for people, on a real database, with browsers that are HTTP clients."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urljoin

import httpx
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from controlplane.api.identity import IdentityService
from controlplane.api.interceptors import Interceptors
from controlplane.api.metrics import CallMetrics
from controlplane.api.server import PublicApi
from controlplane.authn.login_settings import AuthMode, LoginSettings
from controlplane.authn.signing_keys import make_key
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity_providers import Provider, ProviderSettings
from controlplane.core.lists import Listing
from controlplane.oauth.factory import Authorization, make_authorization
from controlplane.oauth.people.calls import BrowserCalls
from controlplane.people import People, is_linked, make_people
from controlplane.store.database import Database
from controlplane.usecases.authorization_codes import AuthorizationCodes
from controlplane.usecases.device_codes import DeviceCodes
from controlplane.usecases.identity.audit import Audit
from controlplane.usecases.identity.callers import ApiKeyChecks, Callers
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.members import Members
from controlplane.usecases.identity.orgs import Orgs
from controlplane.usecases.identity.providers import IdentityProviders
from controlplane.usecases.identity.roles import Roles
from controlplane.usecases.token_families import TokenFamilies
from controlplane.web.app import make_application
from controlplane.web.origins import OriginCheck
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.servers.oidc_provider import SECRET, OidcProviderForTests

PUBLIC_URL = "https://volary.example"
CALLBACK = f"{PUBLIC_URL}/login/callback"
OPERATOR = Subject("operator:test")


@dataclass
class World:
    database: Database
    clock: FakeClock
    self_service: bool = True
    installation: OidcProviderForTests | None = None  # the operator's provider
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        settings = LoginSettings(
            mode=AuthMode.OIDC,
            keys=[SecretBytes(b"k" * 32)],
            allow_private_providers=True,
            self_service_orgs=self.self_service,
            issuer=None if self.installation is None else self.installation.issuer,
            client_id="" if self.installation is None else self.installation.client_id,
            client_secret=SecretText(SECRET),
            provider_name="the company login",
        )
        self.sealer = settings.make_sealer()
        self.families = TokenFamilies(self.database, self.clock)
        self.people: People = make_people(
            settings,
            self.sealer,
            database=self.database,
            loop_database=self.database,
            clock=self.clock,
            families=self.families,
            public_url=PUBLIC_URL,
            metrics=self.metrics,
        )
        self.callers = Callers(self.database)
        self.authorization: Authorization = make_authorization(
            self.clock,
            public_url=PUBLIC_URL,
            codes=AuthorizationCodes(self.database, self.clock),
            devices=DeviceCodes(self.database, self.sealer, self.clock),
            families=self.families,
            resolve=self.callers,
            admits=self.people.admits,
            api_keys=ApiKeyChecks(self.database, self.clock),
            gate=self.people.gate,
            metrics=self.metrics,
        )
        self.authorization.keys.replace([make_key(self.clock.now())])
        self.authorization.revocations.add([], self.clock.now())
        authn = BrowserCalls(
            self.authorization.authn,
            self.people.gate,
            self.authorization.callers,
            self.authorization.revocations,
            self.clock,
        )
        self.public = PublicApi(
            {"flyteidl2.auth.IdentityService": IdentityService()},
            Interceptors(authn, CallMetrics(CollectorRegistry()), self.clock),
        )
        self.invitations = Invitations(self.database, self.clock)
        self.members = Members(self.database, self.clock)
        self.roles = Roles(self.database, self.clock)
        self.orgs = Orgs(self.database, self.clock, self_service=True)
        self.audit = Audit(self.database)
        self.providers = IdentityProviders(self.database, self.sealer, self.clock, allow_http=True)
        self.application: ASGIApp = make_application(
            public=self.public,
            routes=[*self.authorization.routes, *self.people.routes],
            origin_check=OriginCheck(PUBLIC_URL),
            is_linked=is_linked,
        )

    def operator(self, org: OrgName = ORG) -> Caller:
        return Caller(subject=OPERATOR, org=org, name="", grants=org_wide(EVERYTHING))

    async def owner_link(self, org: OrgName = ORG) -> str:
        token = await self.invitations.create_owner_link(self.operator(org))
        return f"/join?invitation={token.reveal()}"

    async def add_provider(
        self, provider: OidcProviderForTests, org: OrgName = ORG, **changed: Any
    ) -> Provider:
        usual: dict[str, Any] = {
            "name": "Acme login",
            "issuer": provider.issuer,
            "client_id": provider.client_id,
            "scopes": ("openid", "email", "profile", "groups", "offline_access"),
            "groups_claim": "groups",
            "email_domains": ("acme.example",),
            "role": "",
        }
        settings = ProviderSettings(**{**usual, **changed})
        return await self.providers.create(self.operator(org), settings, SecretText(SECRET))

    async def audited(self, org: OrgName = ORG) -> list[str]:
        page = await self.audit.list(self.operator(org), Listing(limit=200))
        return [record.event.action for record in reversed(page.rows)]

    async def emails(self, org: OrgName = ORG) -> Mapping[str, str]:
        """Return the members' roles by e-mail address, or name without one."""
        found, _ = await self.members.list(self.operator(org), Listing(limit=200))
        return {each.email or each.name: each.role for each in found}

    async def permissions_of(self, email: str, org: OrgName = ORG) -> set[str]:
        found, _ = await self.members.list(self.operator(org), Listing(limit=200))
        [member] = [each for each in found if each.email == email]
        caller = await self.callers(org, Subject(f"user:{member.user}"))
        return {each.value for grant in caller.grants for each in grant.permissions}

    @asynccontextmanager
    async def browser(self, peer: str = "192.0.2.1") -> AsyncIterator["BrowserForTests"]:
        transport = httpx.ASGITransport(self.application, client=(peer, 1234))
        async with (
            httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as ours,
            httpx.AsyncClient() as theirs,
        ):
            yield BrowserForTests(ours, theirs)


@dataclass(frozen=True, slots=True)
class BrowserForTests:
    """
    A browser: it follows our redirects and refreshes, and submits forms.

    ``ours`` has the cookies of the service, ``theirs`` those of identity providers.
    """

    ours: httpx.AsyncClient
    theirs: httpx.AsyncClient

    async def open(self, address: str, *, from_elsewhere: bool = False) -> httpx.Response:
        """Open an address of ours, and go where pages lead, until a page waits for the person."""
        headers = {"sec-fetch-site": "cross-site" if from_elsewhere else "none"}
        headers |= {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        page = await self.ours.get(address, headers=headers)
        return await self.follow(page)

    async def follow(self, page: httpx.Response) -> httpx.Response:
        for _ in range(10):
            going = find_refresh(page) or page.headers.get("location")
            if going is None or urljoin(PUBLIC_URL, going).startswith(PUBLIC_URL) is False:
                return page
            if going.startswith("http://localhost:"):
                return page
            page = await self.ours.get(going, headers={"sec-fetch-site": "same-origin"})
        raise AssertionError(f"redirected in circles: {page.url}")

    async def submit(self, page: httpx.Response, decision: str, **values: str) -> httpx.Response:
        """Press the button of a page's form that has this value."""
        answer = await self.post(page, decision, **values)
        return await self.follow(answer)

    async def post(self, page: httpx.Response, decision: str, **values: str) -> httpx.Response:
        for action, inner in re.findall(
            r'<form method="post" action="([^"]*)">(.*?)</form>', page.text, re.DOTALL
        ):
            if f'name="decision" value="{decision}"' not in inner:
                continue
            fields = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', inner))
            if any(values.get(name, value) != value for name, value in fields.items()):
                continue
            data = {name: unescape(value) for name, value in fields.items()}
            return await self.ours.post(
                unescape(action),
                data={**data, **values, "decision": decision},
                headers={"sec-fetch-site": "same-origin", "origin": PUBLIC_URL},
            )
        raise AssertionError(f"no button {decision} in {page.text}")

    async def click(self, page: httpx.Response, text: str) -> httpx.Response:
        """Follow a link of a page by its text; not to another site."""
        for href, shown in re.findall(r'<a class="[^"]*" href="([^"]*)">([^<]*)</a>', page.text):
            if text in unescape(shown):
                return await self.ours.get(
                    unescape(href), headers={"sec-fetch-site": "same-origin"}
                )
        raise AssertionError(f"no link {text} in {page.text}")

    async def begin_login(self, provider: Provider, going: str = "/orgs") -> str:
        """Begin a login, and return the address of the provider's page."""
        query = {"provider": str(provider.id), "org": provider.org, "next": going}
        answer = await self.ours.get("/login/start", params=query)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def log_in(
        self,
        server: OidcProviderForTests,
        provider: Provider,
        account: str = "ada",
        going: str = "/orgs",
    ) -> httpx.Response:
        address = await self.begin_login(provider, going)
        back = await server.log_in(self.theirs, address, account)
        return await self.open(back, from_elsewhere=True)


def find_refresh(page: httpx.Response) -> str | None:
    found = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]*)">', page.text)
    return None if found is None else unescape(found[1])
