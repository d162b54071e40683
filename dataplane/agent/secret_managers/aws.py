"""Reads AWS Secrets Manager: the current version of each secret, twenty in one call."""

from collections.abc import Mapping, Sequence
from typing import Any

from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.secret_managers.protocol import TIMEOUT_SECONDS, SecretIds
from shared.kit.secrets import SecretBytes
from shared.kit.settings import SettingsError
from shared.model.secrets import SecretName

# Codes that another try may change; the rest are denials, missing keys, wrong regions.
_TRANSIENT = frozenset({
    "InternalFailure",
    "InternalServiceError",
    "RequestTimeout",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
})  # fmt: skip
# A secret scheduled for deletion answers InvalidRequestException: it has no value any more.
_ABSENT = frozenset({"ResourceNotFoundException", "InvalidRequestException"})


class AwsSecretsManager:
    """Uses the credentials that the AWS SDK finds: a service account's role, the environment."""

    title = "AWS Secrets Manager"
    most = 20  # BatchGetSecretValue's own limit

    def __init__(self, prefix: str, *, region: str = "", endpoint: str = "") -> None:
        """
        ``region`` "": the AWS SDK's default. ``endpoint``: an address that is not AWS's own.

        SettingsError: there is no region.
        """
        import boto3  # noqa: PLC0415  # takes 0.3 s and 25 MB, which other agents save
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import NoRegionError  # noqa: PLC0415

        self._ids = SecretIds(prefix, "/", r"[A-Za-z0-9/_+=.@-]{1,512}")
        try:
            self._client = boto3.client(
                "secretsmanager",
                region_name=region or None,
                endpoint_url=endpoint or None,
                config=Config(
                    connect_timeout=TIMEOUT_SECONDS / 2,
                    read_timeout=TIMEOUT_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 2},
                ),
            )
        except NoRegionError as error:
            raise SettingsError(
                "set VOLARY_AGENT_AWS_SECRETS_REGION to the region of the secrets"
            ) from error

    @property
    def events(self) -> Any:
        """Hooks of the AWS SDK."""
        return self._client.meta.events

    def close(self) -> None:
        self._client.close()

    def id_of(self, name: SecretName) -> str:
        return self._ids.render(name)

    def read(self, ids: Sequence[str]) -> Mapping[str, SecretBytes]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            answer = self._client.batch_get_secret_value(SecretIdList=list(ids))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise _failure(code, f"{code}: {', '.join(ids)}") from error
        except BotoCoreError as error:
            raise SecretsUnavailableError(f"{self.title}: {error}") from error
        for each in answer.get("Errors", ()):
            code = each.get("ErrorCode", "")
            if code not in _ABSENT:
                raise _failure(code, f"{each.get('SecretId')}: {code} {each.get('Message', '')}")
        return {each["Name"]: _value(each) for each in answer.get("SecretValues", ())}


def _value(secret: Mapping[str, object]) -> SecretBytes:
    binary, text = secret.get("SecretBinary"), secret.get("SecretString")
    return SecretBytes(binary if isinstance(binary, bytes) else str(text or "").encode())


def _failure(code: str, detail: str) -> SecretsUnavailableError | SecretsRefusedError:
    if code in _TRANSIENT:
        return SecretsUnavailableError(f"AWS Secrets Manager answers {detail}")
    return SecretsRefusedError(
        f"AWS Secrets Manager answers {detail}. The agent's role needs "
        "secretsmanager:BatchGetSecretValue and, for these secrets, secretsmanager:GetSecretValue "
        "and kms:Decrypt"
    )
