"""Environment variables by which the SDK in a task finds, trusts and authenticates to the API over TLS."""

import json
from collections.abc import Mapping


def api_environment(
    address: str, *, ca_file: str, token_file: str, config_file: str
) -> Mapping[str, str]:
    """
    Return the variables of a task that calls ``address``, ``host:port``, with a token from a file.

    The SDK takes a CA for its own calls only from its configuration, and reads that only if the
    file exists: an empty one suffices, since variables take precedence over the file. Not
    SSL_CERT_FILE: that would replace the public CAs for everything else in the task, buckets
    above all. ``ca_file`` "": the system's CAs. ``config_file``: that empty file; the SDK keeps its
    cache of uploads beside it, so other attempts should not have the same. The SDK reads the token again whenever it is
    refused, so a token is renewed by writing the file.
    """
    return {
        "_U_EP_OVERRIDE": address,
        "_U_INSECURE": "false",
        "_U_USE_ACTIONS": "1",
        "UCTL_CONFIG": config_file,
        "FLYTE_ADMIN_ENDPOINT": address,
        "FLYTE_ADMIN_INSECURE": "",  # not "false": any non-empty value is true
        "FLYTE_ADMIN_INSECURESKIPVERIFY": "",
        "FLYTE_ADMIN_CACERTFILEPATH": ca_file,
        "FLYTE_ADMIN_DISABLEKEYRING": "true",
        "FLYTE_AUTH_TYPE": "ExternalCommand",
        "FLYTE_AUTH_COMMAND": json.dumps(["cat", token_file]),
        "FLYTE_AUTH_PROXY_COMMAND": "",
    }
