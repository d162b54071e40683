"""Signed links into a directory, served by a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from controlplane.core.signing import Grant, Method, SigningKey, SigningKeys, sign
from controlplane.web.blobs import SignedBlobs
from shared.blobs.store import BlobStore, open_store
from tests.fakes.clock import FakeClock
from tests.servers.http import serving

KEYS = SigningKeys(SigningKey(b"k" * 32))


@dataclass(frozen=True, slots=True)
class Served:
    """A directory behind links, and a client for them."""

    store: BlobStore
    root: Path
    clock: FakeClock
    http: httpx.AsyncClient

    def get_link(self, path: str) -> str:
        return sign(self._grant(Method.GET, path), KEYS)

    def put_link(
        self,
        path: str,
        *,
        length: int | None = None,
        max_length: int | None = None,
        md5: bytes = b"",
    ) -> str:
        return sign(
            self._grant(Method.PUT, path, length=length, max_length=max_length, md5=md5), KEYS
        )

    def files(self) -> list[str]:
        """Every file of the store, drafts too."""
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()
        )

    async def files_change(self, *, begun: bool) -> None:
        """Poll until there are files (``begun``), or none."""
        async with asyncio.timeout(60):
            while bool(self.files()) is not begun:  # noqa: ASYNC110
                await asyncio.sleep(0)

    def _grant(
        self,
        method: Method,
        path: str,
        *,
        length: int | None = None,
        max_length: int | None = None,
        md5: bytes = b"",
    ) -> Grant:
        return Grant(
            method=method,
            path=path,
            expires_at=self.clock.now() + timedelta(minutes=5),
            length=length,
            max_length=max_length,
            md5=md5,
        )


@asynccontextmanager
async def serve(root: Path, *, idle: timedelta) -> AsyncIterator[Served]:
    store, clock = open_store(f"file://{root}"), FakeClock()
    blobs = SignedBlobs(store, KEYS, clock, idle=idle)
    async with (
        serving(Starlette(routes=blobs.routes())) as address,
        httpx.AsyncClient(base_url=address) as http,
    ):
        yield Served(store, root, clock, http)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path / "blobs", idle=timedelta(seconds=5)) as served:
        yield served


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Served]:
    """The same, but an upload that sends nothing is given up at once."""
    async with serve(tmp_path / "blobs", idle=timedelta(milliseconds=20)) as served:
        yield served
