"""Reads Google Cloud's Secret Manager: the latest version of each secret."""

from collections.abc import Mapping, Sequence

from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.secret_managers.protocol import TIMEOUT_SECONDS, SecretIds
from dataplane.agent.secret_managers.threads import read_each
from shared.kit.secrets import SecretBytes
from shared.model.secrets import SecretName


class GcpSecretManager:
    """Uses Application Default Credentials: workload identity, or a file that a variable names."""

    title = "Google Cloud Secret Manager"
    most = 32

    def __init__(self, prefix: str, *, project: str, endpoint: str = "") -> None:
        """``project``: of Google Cloud, where the secrets are. ``endpoint``: a regional one."""
        from google.api_core.client_options import ClientOptions  # noqa: PLC0415
        from google.cloud.secretmanager import SecretManagerServiceClient  # noqa: PLC0415

        self._project = project
        self._ids = SecretIds(prefix, "__", r"[A-Za-z0-9_-]{1,255}")
        self._client = SecretManagerServiceClient(
            transport="rest",  # its gRPC would run threads of its own beside the link's
            client_options=ClientOptions(api_endpoint=endpoint or None),
        )

    def close(self) -> None:
        self._client.transport.close()  # type: ignore[no-untyped-call]

    def id_of(self, name: SecretName) -> str:
        return self._ids.render(name)

    def read(self, ids: Sequence[str]) -> Mapping[str, SecretBytes]:
        return read_each(ids, self._read)

    def _read(self, secret_id: str) -> SecretBytes | None:
        import google.api_core.exceptions as errors  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

        name = f"projects/{self._project}/secrets/{secret_id}/versions/latest"
        try:
            answer = self._client.access_secret_version(
                name=name, timeout=TIMEOUT_SECONDS, retry=None
            )
        except (errors.NotFound, errors.FailedPrecondition, errors.BadRequest) as error:
            if isinstance(error, errors.BadRequest) and not _is_disabled(error):
                raise SecretsRefusedError(f"{self.title}: {name}: {error.message}") from error
            return None  # no such secret, or its latest version is disabled or destroyed
        except (errors.Forbidden, errors.Unauthorized) as error:
            raise SecretsRefusedError(
                f"{self.title} denies {name}: the agent's service account needs the role "
                f"roles/secretmanager.secretAccessor ({error.message})"
            ) from error
        except (errors.GoogleAPIError, GoogleAuthError, OSError) as error:
            raise SecretsUnavailableError(f"{self.title}: {error}") from error
        return SecretBytes(bytes(answer.payload.data))


def _is_disabled(error: Exception) -> bool:
    """Return whether this is FAILED_PRECONDITION, which HTTP transports as 400."""
    return any(state in str(error) for state in ("DISABLED", "DESTROYED", "FAILED_PRECONDITION"))
