"""The fewest values that each chart can be installed with, and how to say more."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

AGENT: Mapping[str, Any] = {
    "controlPlane": {"link": "volary.example.com:8101", "api": "volary.example.com:443"},
    "token": {"existingSecret": "volary-token"},
}
CONTROL_PLANE: Mapping[str, Any] = {
    "publicUrl": "https://volary.example.com",
    "database": {"existingSecret": "volary-database"},
    "secrets": {"existingSecret": "volary-keys"},
    "blobs": {"base": "s3://bucket/prefix"},
    "front": {
        "containers": [
            {
                "name": "front",
                "image": "registry.example.com/front:1",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ]
    },
}


def put(values: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the values with some changed; ``proxy__port=1`` means ``proxy: {port: 1}``."""
    changed = deepcopy(dict(values))
    for path, value in changes.items():
        place = changed
        *above, name = path.split("__")
        for each in above:
            place = place.setdefault(each, {})
        place[name] = value
    return changed
