"""Reads Azure Key Vault: the current version of each secret."""

from collections.abc import Mapping, Sequence

from azure.core.credentials import TokenCredential

from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.secret_managers.protocol import TIMEOUT_SECONDS, SecretIds
from dataplane.agent.secret_managers.threads import read_each
from shared.kit.secrets import SecretBytes
from shared.model.secrets import SecretName


class AzureKeyVault:
    """
    Uses the credentials that Azure's SDK finds: workload identity, the environment.

    A vault's names have letters, digits and dashes and ignore case, so secrets whose keys have
    other characters cannot be there, and ``TOKEN`` and ``token`` are one.
    """

    title = "Azure Key Vault"
    most = 32

    def __init__(
        self, prefix: str, *, vault_url: str, credential: TokenCredential | None = None
    ) -> None:
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415
        from azure.keyvault.secrets import SecretClient  # noqa: PLC0415

        self._url = vault_url
        self._ids = SecretIds(prefix, "--", r"[A-Za-z0-9-]{1,127}")
        # Opened here: several threads that open it at once would leave all sessions but one open.
        self._transport = RequestsTransport(
            connection_timeout=TIMEOUT_SECONDS / 2, read_timeout=TIMEOUT_SECONDS
        )
        self._transport.open()
        self._client = SecretClient(
            vault_url,
            credential or DefaultAzureCredential(),
            transport=self._transport,
            retry_total=1,
            # Private endpoints and other clouds have other domains than the token's audience.
            verify_challenge_resource=False,
        )

    def close(self) -> None:
        self._transport.close()

    def id_of(self, name: SecretName) -> str:
        return self._ids.render(name)

    def read(self, ids: Sequence[str]) -> Mapping[str, SecretBytes]:
        return read_each(ids, self._read)

    def _read(self, secret_id: str) -> SecretBytes | None:
        from azure.core import exceptions as errors  # noqa: PLC0415

        try:
            found = self._client.get_secret(secret_id)
        except errors.ResourceNotFoundError:
            return None
        except errors.ClientAuthenticationError as error:
            raise SecretsRefusedError(f"{self._url} denies {secret_id}: {_line(error)}") from error
        except errors.HttpResponseError as error:
            status = error.status_code or 0
            if status == 429 or status >= 500:
                raise SecretsUnavailableError(
                    f"{self._url} answers {status} for {secret_id}"
                ) from error
            raise SecretsRefusedError(
                f"{self._url} answers {status} for {secret_id}: {_line(error)}. The agent's "
                "identity needs the role Key Vault Secrets User"
            ) from error
        except errors.AzureError as error:
            raise SecretsUnavailableError(f"{self._url}: {_line(error)}") from error
        return SecretBytes((found.value or "").encode())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
