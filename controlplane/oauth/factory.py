"""Builds the authorization server from its parts; ``main`` runs its loops and serves its routes."""

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.routing import Route

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.bearer_tokens import BearerTokens
from controlplane.authn.caller_cache import CallerCache, ResolveCaller
from controlplane.authn.revocations import Revocations
from controlplane.authn.signing_keys import TokenKeySet
from controlplane.oauth.clients import ApiKeys
from controlplane.oauth.endpoints import Endpoints
from controlplane.oauth.login_gate import LoginGate
from controlplane.oauth.login_pages import LoginPages
from controlplane.oauth.metrics import OAuthMetrics
from controlplane.oauth.rate_limits import RateLimits
from controlplane.oauth.server import OAuthServer
from controlplane.oauth.state import Admits, State
from controlplane.usecases.authorization_codes import AuthorizationCodes
from controlplane.usecases.device_codes import DeviceCodes
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """
    Parts of the authorization server.

    Before its routes are served, ``keys`` and ``revocations`` have to be read; loops keep both up to
    date. ``callers`` has to be told of changes of grants.
    """

    authn: BearerTokens
    routes: Sequence[Route]
    revocations: Revocations
    callers: CallerCache
    keys: TokenKeySet
    tokens: AccessTokens


def make_authorization(
    clock: Clock,
    *,
    public_url: str,
    codes: AuthorizationCodes,
    devices: DeviceCodes,
    families: TokenFamilies,
    resolve: ResolveCaller,
    admits: Admits,
    api_keys: ApiKeys,
    gate: LoginGate,
    metrics: CollectorRegistry,
) -> Authorization:
    """Build the server for clients that reach it at ``public_url``."""
    keys = TokenKeySet()
    tokens = AccessTokens(keys, clock, issuer=public_url)
    revocations = Revocations(clock)
    callers = CallerCache(resolve, clock)
    limits = RateLimits(clock)
    state = State(
        public_url=public_url,
        clock=clock,
        tokens=tokens,
        revocations=revocations,
        resolve=resolve,
        admits=admits,
        codes=codes,
        devices=devices,
        families=families,
        api_keys=api_keys,
    )
    server = OAuthServer(state)
    endpoints = Endpoints(server, keys, limits, OAuthMetrics(metrics), clock)
    return Authorization(
        authn=BearerTokens(tokens, revocations, callers),
        routes=[*endpoints.routes(), *LoginPages(server, gate, limits).routes()],
        revocations=revocations,
        callers=callers,
        keys=keys,
        tokens=tokens,
    )
