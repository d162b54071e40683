"""
Stores specs by digest, gzipped, in immutable ConfigMaps of the agent's namespace.

A large spec is split into pieces. The first piece is written last and read first, so that a
spec is either complete or missing.
"""

import asyncio
import base64
import hashlib
import logging
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, NotFoundError
from dataplane.agent.kube.objects import AGENT_LABEL, CONFIG_MAP, MANAGED_LABEL, Name
from shared.kit import gzip
from shared.model.ids import Digest

logger = logging.getLogger(__name__)

_LABEL = "volary.dev/spec"
_PIECES = "volary.dev/pieces"  # annotation: how many there are
_PIECE_BYTES = 900 * 1024  # of the 1 MiB that a ConfigMap may have
_SPEC_BYTES = 64 * 1024 * 1024  # of one spec, unpacked: the link's frames are no larger
_KEY = "spec.gz"
_NAME = re.compile(r"spec-([0-9a-f]{64})(?:-[0-9]+)?")


class Specs:
    def __init__(self, kube: Kube, agent_namespace: str) -> None:
        """``kube`` must retry without a timeout."""
        self._kube = kube
        self._agent_namespace = agent_namespace
        self._stored: set[Digest] = set()  # written by this process, and not dropped
        self._needed: Collection[Digest] = ()
        self._recent: set[Digest] = set()  # stored since ``keep`` was last called
        self._writing = asyncio.Lock()  # prevents dropping a spec while it is written again

    async def put(self, digest: Digest, body: bytes) -> None:
        """Store the spec unless it is stored already."""
        self._recent.add(digest)
        async with self._writing:
            if digest in self._stored:
                return
            packed = await asyncio.to_thread(gzip.compress, body, gzip.SMALLER)
            pieces = [packed[at : at + _PIECE_BYTES] for at in range(0, len(packed), _PIECE_BYTES)]
            for number in reversed(range(len(pieces))):
                try:
                    await self._kube.create(
                        CONFIG_MAP, self._render(digest, number, pieces[number], len(pieces))
                    )
                except ExistsError:
                    continue  # content addressed: the existing piece is the same
            self._stored.add(digest)

    async def get(self, digest: Digest) -> bytes | None:
        try:
            first = await self._kube.get(CONFIG_MAP, self._name(digest, 0))
            packed = _unwrap(first)
            for number in range(1, int(first["metadata"]["annotations"][_PIECES])):
                packed += _unwrap(await self._kube.get(CONFIG_MAP, self._name(digest, number)))
            body = await asyncio.to_thread(gzip.decompress, packed, at_most=_SPEC_BYTES)
        except NotFoundError:
            return None
        except (AttributeError, LookupError, TypeError, ValueError, gzip.GzipError) as error:
            await self._discard(digest, repr(error))
            return None
        if hashlib.sha256(body).digest() != digest:
            await self._discard(digest, "its digest does not match")
            return None
        return body

    async def _discard(self, digest: Digest, detail: str) -> None:
        """Delete an unreadable spec, so that it is written again when it is received again."""
        logger.error("spec damaged, deleted", extra={"digest": digest.hex(), "detail": detail})
        async with self._writing:
            self._stored.discard(digest)
            with suppress(NotFoundError):
                await self._kube.delete(CONFIG_MAP, self._name(digest, 0))

    def keep(self, needed: Collection[Digest]) -> None:
        """Set the specs that are needed; others that are not stored again may be dropped."""
        self._needed = needed
        self._recent.clear()

    async def drop(self) -> int:
        """Delete specs that are not needed; return the number of ConfigMaps deleted."""
        selector = f"{_LABEL}=true,{AGENT_LABEL}={self._agent_namespace}"
        listing = await self._kube.list(
            CONFIG_MAP, namespace=self._agent_namespace, labels=selector, only_metadata=True
        )
        dropped = 0
        for item in listing.items:
            name = str(item["metadata"]["name"])
            found = _NAME.fullmatch(name)
            if found is None:
                continue  # not written by the agent, although it has the labels
            digest = Digest(bytes.fromhex(found[1]))
            async with self._writing:
                if digest in self._needed or digest in self._recent:
                    continue
                self._stored.discard(digest)
                await self._kube.delete(CONFIG_MAP, Name(self._agent_namespace, name))
                dropped += 1
        return dropped

    def _name(self, digest: Digest, number: int) -> Name:
        return Name(
            self._agent_namespace, f"spec-{digest.hex()}" + (f"-{number}" if number else "")
        )

    def _render(self, digest: Digest, number: int, piece: bytes, pieces: int) -> dict[str, Any]:
        name = self._name(digest, number)
        return {
            "metadata": {
                "namespace": name.namespace,
                "name": name.name,
                "labels": {
                    MANAGED_LABEL: "true",
                    _LABEL: "true",
                    AGENT_LABEL: self._agent_namespace,
                },
                "annotations": {_PIECES: str(pieces)},
            },
            "immutable": True,
            "binaryData": {_KEY: base64.b64encode(piece).decode()},
        }


def _unwrap(obj: Any) -> bytes:
    return base64.b64decode(obj["binaryData"][_KEY])
