"""Keeps an agent's identity in a Secret of its own namespace."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import (
    ConflictError,
    ExistsError,
    ForbiddenError,
    KubeError,
    NotFoundError,
)
from dataplane.agent.kube.objects import MANAGED_LABEL, SECRET, Name
from dataplane.agent.link.identity import IdentityChangedError, IdentityError

_KEY = "identity.json"


class IdentitySecret:
    """Keeps the identity in a Secret; a replica that writes after another one has to read first."""

    def __init__(self, kube: Kube, name: Name) -> None:
        self._kube = kube
        self._name = name
        self._read: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return f"the Secret {self._name}"

    async def load(self) -> bytes | None:
        try:
            self._read = await self._kube.get(SECRET, self._name)
            encoded = (self._read.get("data") or {}).get(_KEY) or ""
            return b64decode(encoded, validate=True) or None
        except NotFoundError:
            self._read = None
            return None
        except binascii.Error as error:
            raise IdentityError(f"{self} is not Base64; delete it, and enrol again") from error
        except ForbiddenError as error:
            raise IdentityError(f"{self} cannot be read; upgrade the agent's roles") from error

    async def save(self, document: bytes) -> None:
        data = {_KEY: b64encode(document).decode()}
        try:
            if self._read is None:
                metadata = {
                    "name": self._name.name,
                    "namespace": self._name.namespace,
                    "labels": {MANAGED_LABEL: "true"},
                }
                secret = {
                    "apiVersion": "v1",
                    "kind": SECRET.name,
                    "metadata": metadata,
                    "type": "Opaque",
                    "data": data,
                }
                self._read = await self._kube.create(SECRET, secret)
            else:
                self._read = await self._kube.replace(SECRET, {**self._read, "data": data})
        except (ExistsError, ConflictError, NotFoundError) as error:
            raise IdentityChangedError(f"{self} was changed by another replica") from error
        except KubeError as error:
            raise IdentityError(f"{self} cannot be written: {error}") from error
