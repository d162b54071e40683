"""How an S3 store is reached."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """
    What to say instead of the environment; "" leaves that to the environment.

    The environment is the usual one: ``AWS_ENDPOINT_URL``, ``AWS_REGION``,
    ``AWS_ACCESS_KEY_ID``, ``AWS_ALLOW_HTTP``, …, web identity, container and instance
    credentials.
    """

    endpoint: str = ""  # https://host[:port], for what is not Amazon's
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    path_style: bool = True  # bucket in the path rather than in the host name
    allow_http: bool = False  # plaintext, for a store on this machine
