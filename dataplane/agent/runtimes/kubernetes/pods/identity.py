"""
Identify a pod to the API proxy by a projected token that expires with the pod.

The certificate of the proxy's authority is mounted with it. No Secret is created for either.
"""

from pathlib import PurePosixPath
from typing import Any

from dataplane.agent.core import pod_identity
from dataplane.agent.runtimes.kubernetes.pods.settings import ProxyAccess

VOLUME = "volary-proxy"


def volume(proxy: ProxyAccess) -> dict[str, Any]:
    token = {
        "audience": pod_identity.TOKEN_AUDIENCE,
        "expirationSeconds": int(proxy.token_life.total_seconds()),
        "path": PurePosixPath(pod_identity.TOKEN_FILE).name,
    }
    return {
        "name": VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": token},
                {"configMap": {"name": pod_identity.CA_CONFIG_MAP}},
            ]
        },
    }


def mount() -> dict[str, Any]:
    return {"name": VOLUME, "mountPath": pod_identity.DIRECTORY, "readOnly": True}
