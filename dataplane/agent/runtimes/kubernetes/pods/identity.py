"""
By what a pod is known at the door: a token that the kubelet projects and that dies with it.

Beside it stands the certificate of the door's authority. No secret is made for either.
"""

from pathlib import PurePosixPath
from typing import Any

from dataplane.agent.core import entrance
from dataplane.agent.runtimes.kubernetes.pods.settings import Door

VOLUME = "volary-door"


def volume(door: Door) -> dict[str, Any]:
    token = {
        "audience": entrance.TOKEN_AUDIENCE,
        "expirationSeconds": int(door.token_life.total_seconds()),
        "path": PurePosixPath(entrance.TOKEN_FILE).name,
    }
    return {
        "name": VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": token},
                {"configMap": {"name": entrance.CA_CONFIG_MAP}},
            ]
        },
    }


def mount() -> dict[str, Any]:
    return {"name": VOLUME, "mountPath": entrance.DIRECTORY, "readOnly": True}
