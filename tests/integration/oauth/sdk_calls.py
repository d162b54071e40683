"""
Programs of SDK users, which tests run as processes.

``python -m tests.integration.oauth.sdk_calls MODE ENDPOINT AUTHORITY``
"""

import sys
from urllib.request import Request, urlopen

import flyte
import flyte.remote


def passthrough(endpoint: str, authority: str) -> None:
    """Send a header that the program has got elsewhere."""
    flyte.init(endpoint=endpoint, ca_cert_file_path=authority, auth_type="Passthrough")
    with flyte.remote.auth_metadata(("authorization", sys.stdin.readline().strip())):
        print(flyte.remote.User.get().subject())  # noqa: T201


def refresh(endpoint: str, authority: str) -> None:
    """Call, have the access token refused, and call again: the SDK refreshes by itself."""
    flyte.init(endpoint=endpoint, ca_cert_file_path=authority, auth_type="Pkce")
    print(flyte.remote.User.get().subject())  # noqa: T201
    address = f"https://{endpoint.removeprefix('dns:///')}/test/withdraw-access-tokens"
    with urlopen(Request(address, method="POST")):
        pass
    print(flyte.remote.User.get().subject())  # noqa: T201


if __name__ == "__main__":
    {"passthrough": passthrough, "refresh": refresh}[sys.argv[1]](*sys.argv[2:])
