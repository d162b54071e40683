"""
Environment variables by which the SDK in a pod finds, trusts and authenticates to the API
proxy.
"""

import json
from collections.abc import Mapping

from dataplane.agent.core.pod_identity import CA_FILE, TOKEN_FILE


def proxy_environment(address: str) -> Mapping[str, str]:
    """
    Return the variables of a pod that calls the proxy at ``address``, ``host:port``.

    The SDK takes a CA for its own calls only from its configuration, and reads that only if the
    file exists: an empty one suffices, since variables take precedence over the file. Not
    SSL_CERT_FILE: that would replace the public CAs for everything else in the pod, buckets
    above all. The SDK reads the token again whenever the proxy rejects it.
    """
    return {
        "_U_EP_OVERRIDE": address,
        "_U_INSECURE": "false",
        "_U_USE_ACTIONS": "1",
        "UCTL_CONFIG": "/dev/null",
        "FLYTE_ADMIN_ENDPOINT": address,
        "FLYTE_ADMIN_INSECURE": "",  # not "false": any non-empty value is true
        "FLYTE_ADMIN_INSECURESKIPVERIFY": "",
        "FLYTE_ADMIN_CACERTFILEPATH": CA_FILE,
        "FLYTE_ADMIN_DISABLEKEYRING": "true",
        "FLYTE_AUTH_TYPE": "ExternalCommand",
        "FLYTE_AUTH_COMMAND": json.dumps(["cat", TOKEN_FILE]),
        "FLYTE_AUTH_PROXY_COMMAND": "",
        "FLYTE_IMAGE_BUILDER": "remote",  # there is no docker in a pod
    }
