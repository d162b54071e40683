"""ServiceAccountService and ApiKeyService: identities of programs, and their credentials."""

from controlplane.api.platform.conventions import (
    ListCall,
    equals,
    parse_duration,
    parse_id,
    parse_mask,
    parse_time,
    parse_version,
    render_time,
)
from controlplane.core.callers import Caller
from controlplane.core.identity import ApiKey, CreatedApiKey, ServiceAccount, encode_api_key
from controlplane.usecases.identity.accounts import ServiceAccounts
from shared.idl.platform.v1 import service_account_pb2 as pb
from shared.model.ids import OrgName


class ServiceAccountService:
    def __init__(self, accounts: ServiceAccounts) -> None:
        self._accounts = accounts

    async def create_service_account(
        self, caller: Caller, request: pb.CreateServiceAccountRequest
    ) -> pb.CreateServiceAccountResponse:
        account = await self._accounts.create(
            caller, request.name, request.description, request_id=request.request_id
        )
        return pb.CreateServiceAccountResponse(service_account=_render(account))

    async def get_service_account(
        self, caller: Caller, request: pb.GetServiceAccountRequest
    ) -> pb.GetServiceAccountResponse:
        account = await self._accounts.get(caller, parse_id(request.id, "id"))
        return pb.GetServiceAccountResponse(service_account=_render(account))

    async def list_service_accounts(
        self, caller: Caller, request: pb.ListServiceAccountsRequest
    ) -> pb.ListServiceAccountsResponse:
        call = ListCall(caller, request)
        found, token = await self._accounts.list(caller, call.listing)
        return pb.ListServiceAccountsResponse(
            service_accounts=map(_render, found), next_page_token=call.next_token(token)
        )

    async def update_service_account(
        self, caller: Caller, request: pb.UpdateServiceAccountRequest
    ) -> pb.UpdateServiceAccountResponse:
        asked = request.service_account
        paths = parse_mask(request.update_mask, ["name", "description", "disabled"])
        account = await self._accounts.update(
            caller,
            parse_id(asked.id, "service_account.id"),
            name=asked.name if "name" in paths else None,
            description=asked.description if "description" in paths else None,
            disabled=asked.disabled if "disabled" in paths else None,
            version=parse_version(asked.version),
        )
        return pb.UpdateServiceAccountResponse(service_account=_render(account))

    async def delete_service_account(
        self, caller: Caller, request: pb.DeleteServiceAccountRequest
    ) -> pb.DeleteServiceAccountResponse:
        await self._accounts.delete(caller, parse_id(request.id, "id"))
        return pb.DeleteServiceAccountResponse()


class ApiKeyService:
    """``public_url``: the address that keys name."""

    def __init__(self, accounts: ServiceAccounts, public_url: str) -> None:
        self._accounts = accounts
        self._public_url = public_url

    async def create_api_key(
        self, caller: Caller, request: pb.CreateApiKeyRequest
    ) -> pb.CreateApiKeyResponse:
        ends = request.HasField("expires_at")
        created = await self._accounts.create_key(
            caller,
            parse_id(request.service_account_id, "service_account_id"),
            request.name,
            expires_at=parse_time(request.expires_at, "expires_at") if ends else None,
            request_id=request.request_id,
        )
        return pb.CreateApiKeyResponse(
            api_key=_render_key(created.key), secret=self._render_secret(caller.org, created)
        )

    async def get_api_key(
        self, caller: Caller, request: pb.GetApiKeyRequest
    ) -> pb.GetApiKeyResponse:
        key = await self._accounts.get_key(caller, parse_id(request.id, "id"))
        return pb.GetApiKeyResponse(api_key=_render_key(key))

    async def list_api_keys(
        self, caller: Caller, request: pb.ListApiKeysRequest
    ) -> pb.ListApiKeysResponse:
        if request.service_account_id:
            parse_id(request.service_account_id, "service_account_id")
        call = ListCall(caller, request, [equals("account_id", request.service_account_id)])
        found, token = await self._accounts.list_keys(caller, call.listing)
        return pb.ListApiKeysResponse(
            api_keys=map(_render_key, found), next_page_token=call.next_token(token)
        )

    async def revoke_api_key(
        self, caller: Caller, request: pb.RevokeApiKeyRequest
    ) -> pb.RevokeApiKeyResponse:
        key = await self._accounts.revoke_key(caller, parse_id(request.id, "id"))
        return pb.RevokeApiKeyResponse(api_key=_render_key(key))

    async def rotate_api_key(
        self, caller: Caller, request: pb.RotateApiKeyRequest
    ) -> pb.RotateApiKeyResponse:
        ends = request.HasField("expires_at")
        created = await self._accounts.rotate_key(
            caller,
            parse_id(request.id, "id"),
            overlap=parse_duration(request.overlap, "overlap"),
            expires_at=parse_time(request.expires_at, "expires_at") if ends else None,
            request_id=request.request_id,
        )
        return pb.RotateApiKeyResponse(
            api_key=_render_key(created.key), secret=self._render_secret(caller.org, created)
        )

    def _render_secret(self, org: OrgName, created: CreatedApiKey) -> pb.ApiKeySecret | None:
        """Return the secrets of a new key; None for a repeated request."""
        if created.secret is None:
            return None
        encoded = encode_api_key(self._public_url, created.key.client_id, created.secret, org)
        return pb.ApiKeySecret(api_key=encoded.reveal(), client_secret=created.secret.reveal())


def _render(account: ServiceAccount) -> pb.ServiceAccount:
    return pb.ServiceAccount(
        id=str(account.id),
        name=account.name,
        description=account.description,
        created_by=account.created_by,
        created_at=render_time(account.created_at),
        disabled=account.disabled_at is not None,
        version=account.version,
    )


def _render_key(key: ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        id=str(key.id),
        service_account_id=str(key.account),
        name=key.name,
        client_id=key.client_id,
        created_by=key.created_by,
        created_at=render_time(key.created_at),
        expires_at=render_time(key.expires_at),
        last_used_at=render_time(key.last_used_at),
        revoked_at=render_time(key.revoked_at),
    )
