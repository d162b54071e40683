"""Connection settings of the stores: S3, Google Cloud Storage, Azure Blob Storage."""

from dataclasses import dataclass, field

from shared.kit.secrets import SecretText
from shared.kit.settings import Kind, kinds, setting, settings


def _parse_base(given: str) -> str:
    if not given.startswith(("file:///", "s3://", "gs://", "abfs://")):
        raise ValueError
    return given.rstrip("/")


BASE = Kind(
    accepts="file:///directory, s3://bucket/prefix, gs://bucket/prefix or abfs://container/prefix",
    parse=_parse_base,
    metavar="URI",
)
_NONE = SecretText("")


@settings(
    "S3",
    "These apply to `s3://`. Unset ones come from the usual `AWS_…` variables, web identity, and "
    "container and instance credentials.",
)
class S3Options:
    """
    Settings that override the environment; "" leaves a setting to the environment.

    The environment is AWS's usual one: ``AWS_ENDPOINT_URL``, ``AWS_REGION``,
    ``AWS_ACCESS_KEY_ID``, ``AWS_ALLOW_HTTP``, …, web identity, container and instance
    credentials.
    """

    endpoint: str = setting(
        "VOLARY_S3_ENDPOINT",
        kinds.http_url(),
        "`https://host:port` of a store other than Amazon S3.",
        default="",
        default_text="the environment's",
    )
    region: str = setting(
        "VOLARY_S3_REGION",
        kinds.text(64),
        "Region of the bucket.",
        default="",
        default_text="the environment's",
    )
    access_key: str = setting(
        "VOLARY_S3_ACCESS_KEY",
        kinds.text(256),
        "Id of the access key.",
        default="",
        default_text="the environment's",
    )
    secret_key: SecretText = setting(
        "VOLARY_S3_SECRET_KEY",
        kinds.secret(at_least=1),
        "The access key.",
        default=_NONE,
        default_text="the environment's",
    )
    session_token: SecretText = setting(
        "VOLARY_S3_SESSION_TOKEN",
        kinds.secret(at_least=1),
        "Token of a temporary access key.",
        default=_NONE,
        default_text="the environment's",
    )
    path_style: bool = setting(
        "VOLARY_S3_PATH_STYLE",
        kinds.boolean(),
        "Put the bucket in the path (`true`) or in the host name (`false`).",
        default=True,
    )
    allow_http: bool = setting(
        "VOLARY_S3_ALLOW_HTTP",
        kinds.boolean(),
        "Allow an `http://` endpoint, for a store on this machine: all data can be read and "
        "changed on the way.",
        default=False,
    )


@settings(
    "Google Cloud Storage",
    "These apply to `gs://`. Without a key file the identity is the one that the metadata server "
    "gives: GKE's workload identity, or the machine's service account.",
)
class GcsOptions:
    """
    Settings that override the environment; "" leaves a setting to the environment.

    The environment is Google's usual one: ``GOOGLE_APPLICATION_CREDENTIALS`` (the key file of a
    service account), else the metadata server (``GCE_METADATA_HOST``); ``GOOGLE_BASE_URL``.
    """

    credentials_file: str = setting(
        "VOLARY_GCS_CREDENTIALS_FILE",
        kinds.text(4096),
        "Key file (JSON) of a service account.",
        default="",
        default_text="the environment's",
    )
    endpoint: str = setting(
        "VOLARY_GCS_ENDPOINT",
        kinds.http_url(),
        "Address, if it is not Google's own.",
        default="",
        default_text="the environment's",
    )
    allow_http: bool = setting(
        "VOLARY_GCS_ALLOW_HTTP",
        kinds.boolean(),
        "Allow an `http://` endpoint, for a store on this machine: all data can be read and "
        "changed on the way.",
        default=False,
    )


@settings(
    "Azure Blob Storage",
    "These apply to `abfs://`. Without an account key the identity is that of AKS's workload "
    "identity (`AZURE_CLIENT_ID`, `AZURE_TENANT_ID`, `AZURE_FEDERATED_TOKEN_FILE`), or a managed "
    "identity.",
)
class AzureOptions:
    """
    Settings that override the environment; "" leaves a setting to the environment.

    The environment is Azure's usual one, which tasks read too: ``AZURE_STORAGE_ACCOUNT_NAME``,
    ``AZURE_STORAGE_ACCOUNT_KEY``, ``AZURE_STORAGE_ENDPOINT``, and the identity's variables.
    """

    account: str = setting(
        "VOLARY_AZURE_ACCOUNT",
        kinds.text(24),
        "Name of the storage account.",
        default="",
        default_text="the environment's",
    )
    account_key: SecretText = setting(
        "VOLARY_AZURE_ACCOUNT_KEY",
        kinds.secret(at_least=1),
        "Key of the storage account.",
        default=_NONE,
        default_text="the environment's",
    )
    endpoint: str = setting(
        "VOLARY_AZURE_ENDPOINT",
        kinds.http_url(),
        "Address of the account's blobs, if it is not `https://account.blob.core.windows.net`.",
        default="",
        default_text="the environment's",
    )
    allow_http: bool = setting(
        "VOLARY_AZURE_ALLOW_HTTP",
        kinds.boolean(),
        "Allow an `http://` endpoint, for a store on this machine: all data can be read and "
        "changed on the way.",
        default=False,
    )


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The options of each kind of store; the scheme of a store's base selects one."""

    s3: S3Options = field(default_factory=S3Options)
    gcs: GcsOptions = field(default_factory=GcsOptions)
    azure: AzureOptions = field(default_factory=AzureOptions)


AnyOptions = StoreOptions | S3Options | GcsOptions | AzureOptions


def all_options(options: AnyOptions | None) -> StoreOptions:
    """Return the options of every kind of store; those that are not given are the environment's."""
    match options:
        case StoreOptions():
            return options
        case S3Options():
            return StoreOptions(s3=options)
        case GcsOptions():
            return StoreOptions(gcs=options)
        case AzureOptions():
            return StoreOptions(azure=options)
        case None:
            return StoreOptions()
