"""How the SDK in a pod finds the door, trusts it and is known to it: by its environment."""

import json
from collections.abc import Mapping

from dataplane.agent.core.pod_identity import CA_FILE, TOKEN_FILE


def proxy_environment(address: str) -> Mapping[str, str]:
    """
    Return the variables of a pod that calls the door at ``address``, ``host:port``.

    The SDK takes a CA for its own calls only from its configuration, and reads that only if
    there is a file of it: an empty one will do, since variables come before what stands in
    it. Not SSL_CERT_FILE: that would take away the public CAs from everything else in the
    pod, buckets above all. The token is read anew whenever the door finds it wanting.
    """
    return {
        "_U_EP_OVERRIDE": address,
        "_U_INSECURE": "false",
        "_U_USE_ACTIONS": "1",
        "UCTL_CONFIG": "/dev/null",
        "FLYTE_ADMIN_ENDPOINT": address,
        "FLYTE_ADMIN_INSECURE": "",  # not "false": what is not empty is true
        "FLYTE_ADMIN_INSECURESKIPVERIFY": "",
        "FLYTE_ADMIN_CACERTFILEPATH": CA_FILE,
        "FLYTE_ADMIN_DISABLEKEYRING": "true",
        "FLYTE_AUTH_TYPE": "ExternalCommand",
        "FLYTE_AUTH_COMMAND": json.dumps(["cat", TOKEN_FILE]),
        "FLYTE_AUTH_PROXY_COMMAND": "",
        "FLYTE_IMAGE_BUILDER": "remote",  # there is no docker in a pod
    }
