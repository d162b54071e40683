"""
versitygw for the length of a benchmark: S3 over a directory, at less CPU a byte than SeaweedFS.

``GOBIN=… go install github.com/versity/versitygw/cmd/versitygw@v1.8.0``
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.blobs.options import S3Options
from tests.servers.seaweed import S3ForTests

_READY_WITHIN_SECONDS = 20
_KEY = "key-of-a-benchmark"
_SECRET = "secret-of-a-benchmark"  # noqa: S105


@contextmanager
def running(program: Path, root: Path) -> Iterator[S3ForTests]:
    """Serve the directories below ``root`` as buckets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (root / "tests").mkdir(parents=True)
    server = subprocess.Popen(  # noqa: S603 - our own arguments
        [program, "--port", f"127.0.0.1:{port}", "--keep-alive", "posix", root],
        env={**os.environ, "ROOT_ACCESS_KEY": _KEY, "ROOT_SECRET_KEY": _SECRET},
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        options = S3Options(
            endpoint=f"http://127.0.0.1:{port}",
            region="us-east-1",
            access_key=_KEY,
            secret_key=_SECRET,
            allow_http=True,
        )
        yield S3ForTests(options, server.pid)
    finally:
        server.terminate()
        server.wait()


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
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return next(line.split()[-1] for line in said.stdout.splitlines() if "ersion" in line)
