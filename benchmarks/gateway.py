"""
Runs versitygw or MinIO as the S3 server of a benchmark; both use less CPU than SeaweedFS.

``GOBIN=… go install github.com/versity/versitygw/cmd/versitygw@v1.8.0``, or of
``github.com/minio/minio@latest``; the program's file name tells which of them it is.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.blobs.options import S3Options
from shared.kit.secrets import SecretText
from tests.servers.seaweed import S3ForTests

_READY_WITHIN_SECONDS = 20
_KEY = "key-of-a-benchmark"
_SECRET = "secret-of-a-benchmark"  # noqa: S105
_ENVIRONMENT = {
    "ROOT_ACCESS_KEY": _KEY,
    "ROOT_SECRET_KEY": _SECRET,
    "MINIO_ROOT_USER": _KEY,
    "MINIO_ROOT_PASSWORD": _SECRET,
    "MINIO_CI_CD": "1",  # allow a directory in place of a disk
}


@contextmanager
def running(program: Path, root: Path) -> Iterator[S3ForTests]:
    """Run the server; the directories below ``root`` are its buckets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (root / "tests").mkdir(parents=True)
    server = subprocess.Popen(  # noqa: S603 - our own arguments
        [program, *_options(program, f"127.0.0.1:{port}"), root],
        env={**os.environ, **_ENVIRONMENT},
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        options = S3Options(
            endpoint=f"http://127.0.0.1:{port}",
            region="us-east-1",
            access_key=_KEY,
            secret_key=SecretText(_SECRET),
            allow_http=True,
        )
        yield S3ForTests(options, server.pid)
    finally:
        server.terminate()
        server.wait()


def _options(program: Path, address: str) -> Sequence[str]:
    if program.name == "minio":
        return ("server", "--quiet", "--address", address)
    return ("--port", address, "--keep-alive", "posix")


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _READY_WITHIN_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def version_of(program: Path) -> str:
    """Return the program's name and the version that it prints."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    told = next(line for line in said.stdout.splitlines() if "ersion" in line)
    return f"{program.name} {told.split('ersion')[-1].strip(' :').split()[0]}"
