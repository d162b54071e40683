"""SecretService of the platform API: lists secrets, and replaces their values."""

from collections.abc import Callable

from controlplane.api.platform.conventions import ListCall, render_time
from controlplane.core.callers import Caller
from controlplane.core.secrets import SecretStatus, SecretType, parse_secret_name
from controlplane.usecases.secrets import Secrets
from shared.idl.platform.v1 import secret_pb2 as pb
from shared.kit.secrets import SecretBytes


class SecretService:
    def __init__(self, secrets: Callable[[], Secrets]) -> None:
        """``secrets`` is called for each call: commands read the keys only if they need them."""
        self._secrets = secrets

    async def list_secrets(
        self, caller: Caller, request: pb.ListSecretsRequest
    ) -> pb.ListSecretsResponse:
        call = ListCall(caller, request)
        page = await self._secrets().list(
            caller,
            project=request.project,
            domain=request.domain,
            limit=call.listing.limit,
            token=call.listing.token,
        )
        return pb.ListSecretsResponse(
            secrets=map(_render, page.rows), next_page_token=call.next_token(page.token)
        )

    async def rotate_secret(
        self, caller: Caller, request: pb.RotateSecretRequest
    ) -> pb.RotateSecretResponse:
        name = parse_secret_name(
            caller.org, project=request.project, domain=request.domain, name=request.name
        )
        value = SecretBytes(request.value)
        await self._secrets().update(caller, name, SecretType.GENERIC, value)
        return pb.RotateSecretResponse()


def _render(status: SecretStatus) -> pb.Secret:
    row = status.row
    return pb.Secret(
        name=row.name.name,
        project=row.name.project,
        domain=row.name.domain,
        type=row.type.name.lower(),
        version=row.version,
        keyring=row.keyring,
        clusters=status.overall.name.lower(),
        created_by=row.created_by,
        created_at=render_time(row.created_at),
        updated_at=render_time(row.updated_at),
    )
