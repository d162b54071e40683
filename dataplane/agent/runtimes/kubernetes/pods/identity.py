"""
By what a pod is known at the door: a token that the kubelet projects and that dies with it.

Beside it stands the certificate of the door's authority. No secret is made for either.
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
