"""Environment variables by which the SDK in a pod calls the API proxy."""

from collections.abc import Mapping

from dataplane.agent.core.pod_identity import CA_FILE, TOKEN_FILE
from dataplane.agent.runtimes.api_environment import api_environment


def proxy_environment(address: str) -> Mapping[str, str]:
    """Return the variables of a pod that calls the proxy at ``address``, ``host:port``."""
    return {
        **api_environment(address, ca_file=CA_FILE, token_file=TOKEN_FILE, config_file="/dev/null"),
        "FLYTE_IMAGE_BUILDER": "remote",  # there is no docker in a pod
    }
