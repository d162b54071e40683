"""SecretService: creates, updates, gets, deletes and lists secrets; never answers a value."""

from flyteidl2.secret.payload_pb2 import (
    CreateSecretRequest,
    CreateSecretResponse,
    DeleteSecretRequest,
    DeleteSecretResponse,
    GetSecretRequest,
    GetSecretResponse,
    ListSecretsRequest,
    ListSecretsResponse,
    UpdateSecretRequest,
    UpdateSecretResponse,
)

from controlplane.api.convert import secrets as convert
from controlplane.api.convert.lists import parse_token
from controlplane.core.callers import Caller
from controlplane.usecases.secrets import Secrets


class SecretService:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def create_secret(
        self, caller: Caller, request: CreateSecretRequest
    ) -> CreateSecretResponse:
        name = convert.parse_secret_id(request.id, caller.org)
        await self._secrets.create(caller, name, *convert.parse_secret_spec(request.secret_spec))
        return CreateSecretResponse()

    async def update_secret(
        self, caller: Caller, request: UpdateSecretRequest
    ) -> UpdateSecretResponse:
        name = convert.parse_secret_id(request.id, caller.org)
        await self._secrets.update(caller, name, *convert.parse_secret_spec(request.secret_spec))
        return UpdateSecretResponse()

    async def get_secret(self, caller: Caller, request: GetSecretRequest) -> GetSecretResponse:
        status = await self._secrets.get(caller, convert.parse_secret_id(request.id, caller.org))
        return GetSecretResponse(secret=convert.render_secret(status))

    async def delete_secret(
        self, caller: Caller, request: DeleteSecretRequest
    ) -> DeleteSecretResponse:
        await self._secrets.delete(caller, convert.parse_secret_id(request.id, caller.org))
        return DeleteSecretResponse()

    async def list_secrets(
        self, caller: Caller, request: ListSecretsRequest
    ) -> ListSecretsResponse:
        page = await self._secrets.list(
            caller,
            project=request.project,
            domain=request.domain,
            limit=convert.parse_secret_limit(request.limit),
            token=parse_token(request.token),
        )
        return ListSecretsResponse(secrets=convert.render_secrets(page.rows), token=page.token)
