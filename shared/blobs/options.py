"""Connection settings of an S3 store."""

from shared.kit.secrets import SecretText
from shared.kit.settings import kinds, setting, settings

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
