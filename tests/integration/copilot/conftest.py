"""Pods over each kind of store."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp

from controlplane.web.blobs import SignedBlobs
from shared.blobs.store import open_store
from shared.kit.clock import SystemClock
from tests.integration.copilot.buckets import (
    KEYS,
    AzureBucket,
    Bucket,
    DirectoryBucket,
    S3Bucket,
)
from tests.integration.copilot.pods import Pod
from tests.integration.copilot.signer import Signer
from tests.integration.copilot.unreliable import Unreliable
from tests.kube.certificates import Authority, Identity
from tests.servers.azurite import AzureForTests, azure_server
from tests.servers.http import serving
from tests.servers.seaweed import S3ForTests

__all__ = ["azure_server"]  # a fixture

MIB = 1024 * 1024
TOKEN = "token-of-an-attempt"  # noqa: S105


@asynccontextmanager
async def pod_over(
    bucket: Bucket,
    root: Path,
    *,
    parts_above: int | None = None,
    identity: Identity | None = None,
) -> AsyncIterator[Pod]:
    signer = Signer(bucket, token=TOKEN, parts_above=parts_above, part_bytes=5 * MIB)
    async with _serving(Starlette(routes=signer.routes()), identity) as address:
        yield Pod(root, signer, address)


@asynccontextmanager
async def directory_pod(home: Path, identity: Identity | None = None) -> AsyncIterator[Pod]:
    """Over a directory, behind the control plane's own links; both behind TLS, or neither."""
    root = home / "bucket"
    store = open_store(f"file://{root}")
    blobs = Unreliable(Starlette(routes=SignedBlobs(store, KEYS, SystemClock()).routes()))
    async with (
        _serving(blobs, identity) as public,
        pod_over(DirectoryBucket(root, public), home, identity=identity) as made,
    ):
        made.faulty = blobs
        yield made


def _serving(application: ASGIApp, identity: Identity | None) -> AbstractAsyncContextManager[str]:
    if identity is None:
        return serving(application)
    return serving(application, certificate=identity.certificate, key=identity.key)


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with directory_pod(tmp_path) as made:
        yield made


@pytest.fixture
async def tls_pod(tmp_path: Path) -> AsyncIterator[Pod]:
    """Everything behind certificates of an authority that only ``ca_file`` names."""
    authority = Authority(tmp_path / "authority")
    identity = authority.issue("store", reached_at=["127.0.0.1"])
    async with directory_pod(tmp_path, identity) as made:
        made.overrides = {"links": {"ca_file": str(authority.certificate)}}
        yield made


@pytest.fixture
async def s3_pod(s3_server: S3ForTests, tmp_path: Path) -> AsyncIterator[Pod]:
    base = s3_server.new_base()
    store = open_store(base, s3_server.options)
    await store.write(f"{base}/first", b"makes the bucket")
    bucket = S3Bucket(base, s3_server.options)
    async with pod_over(bucket, tmp_path, parts_above=8 * MIB) as made:
        yield made


@pytest.fixture
async def azure_pod(
    azure_server: AzureForTests,
    tmp_path: Path,
) -> AsyncIterator[Pod]:
    bucket = AzureBucket(azure_server, secrets.token_hex(6))
    async with pod_over(bucket, tmp_path, parts_above=8 * MIB) as made:
        yield made


@pytest.fixture(params=["pod", "s3_pod", "azure_pod"])
def any_pod(request: pytest.FixtureRequest) -> Pod:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Pod)
    return made
