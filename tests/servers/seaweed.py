"""
A real S3 server for tests: SeaweedFS, one a session, a place in its bucket a test.

It checks what Amazon's checks: signatures, expiry, Content-MD5. It answers on one address,
loopback unless it is to be reached from elsewhere; stopping it takes SIGKILL, because it waits long for a graceful end.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from shared.blobs.options import S3Options
from shared.kit.secrets import SecretText
from tests import program_logs
from tests.ports import free_ports

_ACCESS_KEY = "key-of-a-test"
_SECRET_KEY = "secret-of-a-test"  # noqa: S105
_READY_WITHIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class S3ForTests:
    """Where the server is, and how to enter."""

    options: S3Options
    pid: int

    def new_base(self) -> str:
        """Name a place of this test's own; the first blob makes the bucket."""
        return f"s3://tests/{secrets.token_hex(6)}"


@contextmanager
def running(address: str = "127.0.0.1") -> Iterator[S3ForTests]:
    """Have a server for the length of a block; ``address`` is one of this machine's."""
    with tempfile.TemporaryDirectory(prefix="volary-s3-", ignore_cleanup_errors=True) as home:
        log = Path(home, "log")
        program_logs.follow("seaweedfs", log)
        s3_port, arguments = _arguments(Path(home), address)
        with log.open("wb") as output, _process(arguments, home, output) as server:
            _wait_until_ready(server, f"{address}:{s3_port}", log)
            yield S3ForTests(
                S3Options(
                    endpoint=f"http://{address}:{s3_port}",
                    region="us-east-1",
                    access_key=_ACCESS_KEY,
                    secret_key=SecretText(_SECRET_KEY),
                    allow_http=True,
                ),
                server.pid,
            )


def _arguments(home: Path, address: str) -> tuple[int, list[str]]:
    # Read where it runs. The first blob makes a volume, of which it would make seven: seconds.
    (home / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
    config = home / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "test",
                        "credentials": [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}],
                        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
                    }
                ]
            }
        )
    )
    parts = ("master", "volume", "filer", "s3")
    ports = iter(free_ports(2 * len(parts), host=address))
    arguments = [str(Path(sys.executable).with_name("weed")), "server", f"-dir={home}"]
    s3_port = 0
    for part in parts:
        port = next(ports)
        arguments += [f"-{part}.port={port}", f"-{part}.port.grpc={next(ports)}"]
        s3_port = port
    arguments += [
        f"-ip={address}",
        f"-ip.bind={address}",
        "-s3",
        f"-s3.config={config}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=64",
        "-volume.minFreeSpacePercent=0",
    ]
    return s3_port, arguments


@contextmanager
def _process(
    arguments: list[str], home: str, output: BinaryIO
) -> Iterator["subprocess.Popen[bytes]"]:
    server = subprocess.Popen(  # noqa: S603 -- our own arguments
        arguments, cwd=home, stdout=output, stderr=output, start_new_session=True
    )
    try:
        yield server
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_until_ready(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Poll until it answers; it has no readiness notification."""
    deadline = time.monotonic() + _READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            urlopen(f"http://{address}/status", timeout=1).close()
        except HTTPError:
            return  # it answers
        except (URLError, OSError):
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3ForTests]:
    with running() as server:
        yield server
