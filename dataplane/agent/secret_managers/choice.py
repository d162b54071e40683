"""Settings of the secret manager, and the manager that they choose."""

from pathlib import Path

from dataplane.agent.secret_managers.protocol import SecretManager
from dataplane.agent.secret_managers.reader import SecretReader
from shared.kit.settings import SettingsError, kinds, setting, settings
from shared.kit.settings.paths import path

_PREFIX = kinds.text(100, metavar="PREFIX")
_TEXT = kinds.text(1000)


@settings("No secret manager", only_with="--secret-manager none")
class NoManager:
    pass


@settings("AWS Secrets Manager", only_with="--secret-manager aws")
class AwsSettings:
    prefix: str = setting(
        "VOLARY_AGENT_AWS_SECRETS_PREFIX", _PREFIX, "First part of a secret's name.",
        default="volary",
    )  # fmt: skip
    region: str = setting(
        "VOLARY_AGENT_AWS_SECRETS_REGION", _TEXT, "Region of the secrets.",
        default="", default_text="as the AWS SDK finds it",
    )  # fmt: skip
    endpoint: str = setting(
        "VOLARY_AGENT_AWS_SECRETS_ENDPOINT", kinds.http_url(), "Address, if it is not AWS's own.",
        default="", default_text="AWS's",
    )  # fmt: skip


@settings("Google Cloud Secret Manager", only_with="--secret-manager gcp")
class GcpSettings:
    prefix: str = setting(
        "VOLARY_AGENT_GCP_SECRETS_PREFIX", _PREFIX, "First part of a secret's id.",
        default="volary",
    )  # fmt: skip
    project: str = setting(
        "VOLARY_AGENT_GCP_SECRETS_PROJECT", _TEXT, "The Google Cloud project of the secrets."
    )
    endpoint: str = setting(
        "VOLARY_AGENT_GCP_SECRETS_ENDPOINT", _TEXT, "Address of a region's service.",
        default="", default_text="the global service's",
    )  # fmt: skip


@settings("Azure Key Vault", only_with="--secret-manager azure")
class AzureSettings:
    prefix: str = setting(
        "VOLARY_AGENT_AZURE_SECRETS_PREFIX", _PREFIX, "First part of a secret's name.",
        default="volary",
    )  # fmt: skip
    vault_url: str = setting(
        "VOLARY_AGENT_AZURE_VAULT_URL", kinds.http_url(), "Address of the vault."
    )


@settings("Vault and OpenBao", only_with="--secret-manager vault")
class VaultSettings:
    prefix: str = setting(
        "VOLARY_AGENT_VAULT_PREFIX", _PREFIX, "First part of a secret's path.", default="volary"
    )
    address: str = setting("VOLARY_AGENT_VAULT_ADDRESS", kinds.http_url(), "Address of the server.")
    namespace: str = setting(
        "VOLARY_AGENT_VAULT_NAMESPACE", _TEXT, "Namespace of the secrets and of the login.",
        default="",
    )  # fmt: skip
    engine: str = setting(
        "VOLARY_AGENT_VAULT_ENGINE", _TEXT, "Mount point of the KV version 2 engine.",
        default="secret",
    )  # fmt: skip
    field: str = setting(
        "VOLARY_AGENT_VAULT_FIELD", _TEXT, "Field of a secret that holds its value.",
        default="value",
    )  # fmt: skip
    role: str = setting(
        "VOLARY_AGENT_VAULT_ROLE", _TEXT, "Role of the login with the agent's service account.",
        default="",
    )  # fmt: skip
    auth_mount: str = setting(
        "VOLARY_AGENT_VAULT_AUTH_MOUNT", _TEXT, "Mount point of the Kubernetes auth method.",
        default="kubernetes",
    )  # fmt: skip
    token_file: Path | None = setting(
        "VOLARY_AGENT_VAULT_TOKEN_FILE", path(), "File with a token, in place of a role.",
        default=None, default_text="none",
    )  # fmt: skip
    ca_file: Path | None = setting(
        "VOLARY_AGENT_VAULT_CA_FILE", path(), "CA certificates of the server.",
        default=None, default_text="the system's",
    )  # fmt: skip


ManagerSettings = NoManager | AwsSettings | GcpSettings | AzureSettings | VaultSettings
CHOICES: "dict[str, type[ManagerSettings]]" = {
    "none": NoManager,
    "aws": AwsSettings,
    "gcp": GcpSettings,
    "azure": AzureSettings,
    "vault": VaultSettings,
}


def open_reader(chosen: ManagerSettings) -> SecretReader | None:
    """Return a reader of the chosen manager, if there is one; SettingsError if it cannot be had."""
    try:
        manager = _open(chosen)
    except ImportError as error:
        extra = next(name for name, kind in CHOICES.items() if isinstance(chosen, kind))
        raise SettingsError(
            f"the client of this secret manager is not installed ({error}): install "
            f"volary[secrets-{extra}]"
        ) from error
    return None if manager is None else SecretReader(manager)


def _open(chosen: ManagerSettings) -> SecretManager | None:
    match chosen:
        case AwsSettings():
            from dataplane.agent.secret_managers.aws import AwsSecretsManager  # noqa: PLC0415

            return AwsSecretsManager(chosen.prefix, region=chosen.region, endpoint=chosen.endpoint)
        case GcpSettings():
            return _open_gcp(chosen)
        case AzureSettings():
            from dataplane.agent.secret_managers.azure import AzureKeyVault  # noqa: PLC0415

            return AzureKeyVault(chosen.prefix, vault_url=chosen.vault_url)
        case VaultSettings():
            return _open_vault(chosen)
        case NoManager():
            return None


def _open_gcp(chosen: GcpSettings) -> SecretManager:
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    from dataplane.agent.secret_managers.gcp import GcpSecretManager  # noqa: PLC0415

    try:
        return GcpSecretManager(chosen.prefix, project=chosen.project, endpoint=chosen.endpoint)
    except GoogleAuthError as error:
        raise SettingsError(
            f"the agent has no credentials of Google Cloud: {error}; give its service account a "
            "workload identity"
        ) from error


def _open_vault(chosen: VaultSettings) -> SecretManager:
    from dataplane.agent.secret_managers.vault import Vault, VaultLogin  # noqa: PLC0415

    if bool(chosen.role) == (chosen.token_file is not None):
        raise SettingsError(
            "set either VOLARY_AGENT_VAULT_ROLE, to log in with the agent's service account, or "
            "VOLARY_AGENT_VAULT_TOKEN_FILE"
        )
    return Vault(
        chosen.prefix,
        address=chosen.address,
        login=VaultLogin(role=chosen.role, mount=chosen.auth_mount, token_file=chosen.token_file),
        engine=chosen.engine,
        field=chosen.field,
        namespace=chosen.namespace,
        ca_file=chosen.ca_file,
    )
