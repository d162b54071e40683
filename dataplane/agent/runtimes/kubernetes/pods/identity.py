"""
By what a pod is known at the door: a token that the kubelet projects and that dies with it.

Beside it stands the certificate of the door's authority. No secret is made for either.
"""

from typing import Any

from dataplane.agent.runtimes.kubernetes.pods.settings import DOOR_AUDIENCE, DOOR_CONFIG_MAP, Door

VOLUME = "volary-door"
DIRECTORY = "/var/run/volary"
TOKEN_FILE = f"{DIRECTORY}/token"
CA_FILE = f"{DIRECTORY}/ca.crt"


def volume(door: Door) -> dict[str, Any]:
    token = {
        "audience": DOOR_AUDIENCE,
        "expirationSeconds": int(door.token_life.total_seconds()),
        "path": "token",
    }
    return {
        "name": VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": token},
                {"configMap": {"name": DOOR_CONFIG_MAP}},
            ]
        },
    }


def mount() -> dict[str, Any]:
    return {"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}
