"""
Builds and runs what people need to log in by a browser: pages, sessions, identity providers.

A part of ``logins``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry
from starlette.routing import Route

from controlplane.authn.authenticator import Authenticator
from controlplane.authn.caller_cache import ResolveCaller
from controlplane.authn.login_settings import LoginSettings
from controlplane.authn.oidc.client import OidcClient
from controlplane.authn.sealing import Sealer
from controlplane.core.browser_sessions import CALLBACK, LOGIN
from controlplane.core.identity import JOIN_PATH
from controlplane.loops.periodic import run_periodically
from controlplane.oauth.login_pages import DEVICE_PAGE
from controlplane.oauth.metrics import BrowserLoginMetrics
from controlplane.oauth.people.gate import BrowserGate, PageGate
from controlplane.oauth.people.login_routes import LoginRoutes
from controlplane.oauth.people.org_routes import OrgRoutes
from controlplane.oauth.people.session_routes import SessionRoutes
from controlplane.oauth.rate_limits import RateLimits
from controlplane.oauth.state import Admits
from controlplane.store.database import Database
from controlplane.usecases.identity.browser_logins import BrowserLogins
from controlplane.usecases.identity.browser_sessions import BrowserSessions
from controlplane.usecases.identity.callers import Callers
from controlplane.usecases.identity.group_checks import GroupChecks
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.orgs import Orgs
from controlplane.usecases.identity.providers import IdentityProviders, callback_url
from controlplane.usecases.identity.users import Users
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.clock import Clock
from shared.kit.settings import SettingsError

_LINKED = frozenset({"/", "/v2", CALLBACK, DEVICE_PAGE, JOIN_PATH, LOGIN})
_CONSOLE = "/v2/"


def is_linked(path: str) -> bool:
    """Return whether other sites' pages lead to a page: providers, messages with links."""
    return path in _LINKED or path.startswith(_CONSOLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    gate: BrowserGate
    resolve: ResolveCaller
    admits: Admits
    providers: IdentityProviders
    routes: Sequence[Route]
    checks: GroupChecks
    client: OidcClient
    clock: Clock

    def make_page_gate(self, authn: Authenticator) -> PageGate:
        """Return the gate of pages about runs; ``authn`` is for programs."""
        return PageGate(self.gate, authn, self.resolve)

    async def run(self) -> None:
        """Read groups again at identity providers, until cancelled."""
        try:
            await run_periodically(
                "group checks",
                self.checks.run_once,
                every=timedelta(seconds=30),
                clock=self.clock,
            )
        finally:
            await self.client.close()


def make_people(
    settings: LoginSettings,
    sealer: Sealer,
    *,
    database: Database,
    loop_database: Database,
    clock: Clock,
    families: TokenFamilies,
    public_url: str,
    metrics: CollectorRegistry,
) -> People:
    """Build the pages; SettingsError if the installation's provider is not usable."""
    try:
        installation = settings.find_provider()
    except ValueError as error:
        raise SettingsError(str(error)) from error
    client = OidcClient(
        clock,
        redirect_uri=callback_url(public_url),
        allow_private=settings.allow_private_providers,
    )
    users = Users(database, clock)
    sessions = BrowserSessions(database, clock)
    invitations = Invitations(database, clock)

    def providers_in(some: Database) -> IdentityProviders:
        return IdentityProviders(
            some,
            sealer,
            clock,
            installation=installation,
            allow_http=settings.allow_private_providers,
        )

    def checks_in(some: Database) -> GroupChecks:
        return GroupChecks(
            some,
            sealer,
            clock,
            client=client,
            providers=providers_in(some),
            users=Users(some, clock),
            families=families,
        )

    providers = providers_in(database)
    logins = BrowserLogins(
        database,
        sealer,
        clock,
        client=client,
        providers=providers,
        sessions=sessions,
        users=users,
        invitations=invitations,
    )
    resolve = Callers(database)
    orgs = Orgs(database, clock, self_service=settings.self_service_orgs)
    gate = BrowserGate(sessions, checks_in(database), resolve, orgs.admits)
    limits, counts = RateLimits(clock), BrowserLoginMetrics(metrics)
    routes = [
        *LoginRoutes(
            public_url=public_url,
            gate=gate,
            logins=logins,
            sessions=sessions,
            providers=providers,
            limits=limits,
            metrics=counts,
        ).routes(),
        *OrgRoutes(
            gate=gate,
            logins=logins,
            sessions=sessions,
            providers=providers,
            orgs=orgs,
            invitations=invitations,
            limits=limits,
            metrics=counts,
        ).routes(),
        *SessionRoutes(gate=gate, sessions=sessions, families=families).routes(),
    ]
    return People(
        gate=gate,
        resolve=resolve,
        admits=orgs.admits,
        providers=providers,
        routes=routes,
        checks=checks_in(loop_database),
        client=client,
        clock=clock,
    )
