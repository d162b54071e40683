"""Every test here runs on a directory and on a real S3 server."""

from pathlib import Path

import pytest

from shared.blobs.store import BlobStore, open_store
from tests.servers.seaweed import S3ForTests


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return open_store(f"file://{tmp_path}/blobs")
    server: S3ForTests = request.getfixturevalue("s3_server")
    return open_store(server.new_base(), server.options)
