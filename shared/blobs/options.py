"""Connection settings of an S3 store."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """
    Settings that override the environment; "" leaves a setting to the environment.

    The environment is AWS's usual one: ``AWS_ENDPOINT_URL``, ``AWS_REGION``,
    ``AWS_ACCESS_KEY_ID``, ``AWS_ALLOW_HTTP``, …, web identity, container and instance
    credentials.
    """

    endpoint: str = ""  # https://host[:port] of an S3-compatible store; "" for Amazon's
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    path_style: bool = True  # bucket in the path rather than in the host name
    allow_http: bool = False  # plaintext, for a store on this machine
