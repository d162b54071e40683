"""
Reads HashiCorp Vault and OpenBao: secrets of a KV version 2 engine, one field of each.

The agent logs in with its service account (Kubernetes auth), or reads a token from a file that
another program keeps fresh.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.secret_managers.protocol import TIMEOUT_SECONDS, SecretIds
from dataplane.agent.secret_managers.threads import read_each
from shared.kit.secrets import SecretBytes
from shared.model.secrets import SecretName

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultLogin:
    """How to log in: with a token file, or as ``role`` of the auth engine at ``mount``."""

    role: str = ""
    mount: str = "kubernetes"
    token_file: Path | None = None
    service_account_token: Path = SERVICE_ACCOUNT_TOKEN


class Vault:
    title = "Vault"
    most = 32

    def __init__(
        self,
        prefix: str,
        *,
        address: str,
        login: VaultLogin,
        engine: str = "secret",
        field: str = "value",
        namespace: str = "",
        ca_file: Path | None = None,
    ) -> None:
        """``engine``: mount point of the KV engine; ``field``: the field with the value."""
        import hvac  # noqa: PLC0415

        self._address = address
        self._login = login
        self._engine = engine
        self._field = field
        self._ids = SecretIds(prefix, "/", r"[-A-Za-z0-9/_.]{1,512}")
        self._client = hvac.Client(
            url=address,
            namespace=namespace or None,
            timeout=TIMEOUT_SECONDS,
            verify=str(ca_file) if ca_file else True,
        )
        self._client.token = None  # not VAULT_TOKEN of the agent's environment
        self._renewing = threading.Lock()

    def close(self) -> None:
        self._client.adapter.close()

    def id_of(self, name: SecretName) -> str:
        return self._ids.render(name)

    def read(self, ids: Sequence[str]) -> Mapping[str, SecretBytes]:
        token = self._client.token
        if not token:
            token = self._renew(token)
        return read_each(ids, lambda each: self._read(each, token))

    def _read(self, secret_id: str, token: str | None) -> SecretBytes | None:
        from hvac import exceptions as errors  # noqa: PLC0415

        try:
            try:
                answer = self._request(secret_id)
            except (errors.Forbidden, errors.Unauthorized):
                self._renew(token)  # the token may have expired
                answer = self._request(secret_id)
        except errors.InvalidPath:
            return None
        except (errors.Forbidden, errors.Unauthorized) as error:
            raise SecretsRefusedError(
                f"{self._address} denies {self._engine}/data/{secret_id}: the policy of the "
                'agent\'s login needs the capability "read" for it'
            ) from error
        except (errors.InvalidRequest, errors.UnsupportedOperation) as error:
            raise SecretsRefusedError(
                f"{self._address} refuses to read {self._engine}/data/{secret_id}: {_line(error)}; "
                f"is {self._engine!r} a KV engine of version 2?"
            ) from error
        except (errors.VaultError, OSError) as error:
            raise self._failure(error) from error
        return self._field_of(answer, secret_id)

    def _request(self, secret_id: str) -> Any:
        return self._client.secrets.kv.v2.read_secret_version(
            path=secret_id, mount_point=self._engine, raise_on_deleted_version=True
        )

    def _field_of(self, answer: Any, secret_id: str) -> SecretBytes:
        fields = answer["data"]["data"]
        value = fields.get(self._field)
        if not isinstance(value, str):
            raise SecretsRefusedError(
                f"{self._engine}/{secret_id} in {self._address} has no text in the field "
                f"{self._field!r}; it has the fields {', '.join(sorted(fields))[:200]}"
            )
        return SecretBytes(value.encode())

    def _renew(self, used: str | None) -> str | None:
        """Log in, unless another thread has done so since ``used`` was the token."""
        with self._renewing:
            if self._client.token == used:
                self._client.token = self._log_in()
            token: str | None = self._client.token
            return token

    def _log_in(self) -> str:
        from hvac import exceptions as errors  # noqa: PLC0415

        login = self._login
        try:
            if login.token_file is not None:
                return login.token_file.read_text().strip()
            answer = self._client.auth.kubernetes.login(
                role=login.role,
                jwt=login.service_account_token.read_text().strip(),
                use_token=False,
                mount_point=login.mount,
            )
        except (errors.Forbidden, errors.Unauthorized, errors.InvalidRequest) as error:
            raise SecretsRefusedError(
                f"{self._address} refuses the login of the role {login.role!r} at "
                f"auth/{login.mount}: {_line(error)}"
            ) from error
        except (errors.VaultError, OSError) as error:
            raise self._failure(error) from error
        return str(answer["auth"]["client_token"])

    def _failure(self, error: Exception) -> SecretsUnavailableError:
        return SecretsUnavailableError(f"Vault at {self._address}: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
