"""IdentityProviderService: the OpenID Connect providers at which people of an org log in."""

from dataclasses import replace
from typing import Any

from controlplane.api.platform.conventions import (
    ListCall,
    parse_id,
    parse_mask,
    parse_version,
    render_time,
)
from controlplane.core.callers import Caller
from controlplane.core.errors import NotReadyError
from controlplane.core.identity_providers import DEFAULT_SCOPES, Provider, ProviderSettings
from controlplane.usecases.identity.providers import IdentityProviders, callback_url
from shared.idl.platform.v1 import identity_provider_pb2 as pb
from shared.kit.secrets import SecretText

_PLAIN = ("name", "client_id", "scopes", "groups_claim", "email_domains", "role")
_PATHS = (*_PLAIN, "disabled", "client_secret")


class IdentityProviderService:
    """``providers`` is None in a control plane without logins."""

    def __init__(self, providers: IdentityProviders | None, public_url: str) -> None:
        self._configured = providers
        self._callback = callback_url(public_url)

    async def create_identity_provider(
        self, caller: Caller, request: pb.CreateIdentityProviderRequest
    ) -> pb.CreateIdentityProviderResponse:
        settings = ProviderSettings(
            name=request.name,
            issuer=request.issuer,
            client_id=request.client_id,
            scopes=tuple(request.scopes) or DEFAULT_SCOPES,
            groups_claim=request.groups_claim,
            email_domains=tuple(request.email_domains),
            role=request.role,
        )
        secret = SecretText(request.client_secret)
        provider = await self._providers.create(
            caller, settings, secret, request_id=request.request_id
        )
        return pb.CreateIdentityProviderResponse(identity_provider=self._render(provider))

    async def get_identity_provider(
        self, caller: Caller, request: pb.GetIdentityProviderRequest
    ) -> pb.GetIdentityProviderResponse:
        provider = await self._providers.get(caller, parse_id(request.id, "id"))
        return pb.GetIdentityProviderResponse(identity_provider=self._render(provider))

    async def list_identity_providers(
        self, caller: Caller, request: pb.ListIdentityProvidersRequest
    ) -> pb.ListIdentityProvidersResponse:
        call = ListCall(caller, request)
        found = sorted(await self._providers.list(caller), key=_id)
        page, token = call.slice(found, _id)
        return pb.ListIdentityProvidersResponse(
            identity_providers=map(self._render, page), next_page_token=token
        )

    async def update_identity_provider(
        self, caller: Caller, request: pb.UpdateIdentityProviderRequest
    ) -> pb.UpdateIdentityProviderResponse:
        asked = request.identity_provider
        paths = parse_mask(request.update_mask, _PATHS)
        provider_id = parse_id(asked.id, "identity_provider.id")
        version = parse_version(asked.version)
        current = await self._providers.get(caller, provider_id)
        given: dict[str, Any] = {path: getattr(asked, path) for path in _PLAIN if path in paths}
        given |= {name: tuple(given[name]) for name in ("scopes", "email_domains") if name in given}
        if "disabled" in paths:
            given["is_enabled"] = not asked.disabled
        provider = await self._providers.update(
            caller,
            provider_id,
            replace(current.settings, **given),
            SecretText(request.client_secret) if "client_secret" in paths else None,
            # The fields that the mask does not name are those of this version.
            current.version if version is None else version,
        )
        return pb.UpdateIdentityProviderResponse(identity_provider=self._render(provider))

    async def delete_identity_provider(
        self, caller: Caller, request: pb.DeleteIdentityProviderRequest
    ) -> pb.DeleteIdentityProviderResponse:
        await self._providers.delete(caller, parse_id(request.id, "id"))
        return pb.DeleteIdentityProviderResponse()

    @property
    def _providers(self) -> IdentityProviders:
        if self._configured is None:
            raise NotReadyError(
                "this control plane has no logins, so no identity providers; its operator sets"
                " VOLARY_AUTH=oidc"
            )
        return self._configured

    def _render(self, provider: Provider) -> pb.IdentityProvider:
        settings = provider.settings
        return pb.IdentityProvider(
            id=str(provider.id),
            name=settings.name,
            issuer=settings.issuer,
            client_id=settings.client_id,
            scopes=settings.scopes,
            groups_claim=settings.groups_claim,
            email_domains=settings.email_domains,
            role=settings.role,
            disabled=not settings.is_enabled,
            callback_url=self._callback,
            created_by=provider.created_by,
            created_at=render_time(provider.created_at),
            version=provider.version,
        )


def _id(provider: Provider) -> str:
    return str(provider.id)
