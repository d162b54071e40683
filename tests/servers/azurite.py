"""
A real Azure blob server for tests: Azurite, from npm, kept in ``.cache``.

It checks shared access signatures and their expiry. One a session.
"""

import fcntl
import hmac
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from obstore.store import AzureStore

from shared.blobs.options import AzureOptions
from shared.kit.secrets import SecretText
from tests import program_logs

_VERSION = "3.35.0"
_HOME = Path(__file__).parents[2] / ".cache" / f"azurite-{_VERSION}"
_READY_WITHIN_SECONDS = 60
_ACCOUNT = "devstoreaccount1"
_KEY = (  # Azurite's own, the same for everyone
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
CONTAINER = "tests"


@dataclass(frozen=True, slots=True)
class AzureForTests:
    endpoint: str  # http://127.0.0.1:port

    @property
    def options(self) -> AzureOptions:
        return AzureOptions(
            account=_ACCOUNT,
            account_key=SecretText(_KEY),
            endpoint=f"{self.endpoint}/{_ACCOUNT}",
            allow_http=True,
        )

    def new_base(self) -> str:
        """Name a place of this test's own in the container."""
        return f"abfs://{CONTAINER}/{secrets.token_hex(6)}"

    def store(self, prefix: str = "") -> AzureStore:
        """Return the container, or what lies below a prefix of it."""
        return AzureStore(
            CONTAINER,
            prefix=prefix or None,
            account_name=_ACCOUNT,
            account_key=_KEY,
            endpoint=f"{self.endpoint}/{_ACCOUNT}",
            client_options={"allow_http": True},
        )


def _program() -> Path:
    found = _HOME / "node_modules/.bin/azurite-blob"
    npm = shutil.which("npm")
    if not found.exists():
        if npm is None:
            pytest.skip("Azurite comes from npm, and there is no npm here")
        _HOME.mkdir(parents=True, exist_ok=True)
        with (_HOME / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # npm does not bear another in its directory
            if not found.exists():
                subprocess.run(  # noqa: S603 - fixed words
                    [npm, "install", "--no-fund", "--no-audit", "--silent", f"azurite@{_VERSION}"],
                    cwd=_HOME, check=True, timeout=300,
                )  # fmt: skip
    return found


@contextmanager
def running() -> Iterator[AzureForTests]:
    program = _program()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="volary-azurite-", ignore_cleanup_errors=True) as home:
        log = Path(home, "log")
        program_logs.follow("azurite", log)
        with log.open("wb") as output:
            server = subprocess.Popen(  # noqa: S603 - our own arguments
                [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", home,
                 "--skipApiVersionCheck", "--disableTelemetry", "--silent"],
                cwd=home, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            _wait_until_ready(server, port, log)
            made = AzureForTests(f"http://127.0.0.1:{port}")
            _make_container(made.endpoint)
            yield made
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()


def _wait_until_ready(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"Azurite did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _make_container(endpoint: str) -> None:
    """Signed with the account's key, because obstore makes no containers."""
    date = formatdate(usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2023-11-03"}
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    resource = f"/{_ACCOUNT}/{_ACCOUNT}/{CONTAINER}\nrestype:container"
    printed = "PUT" + "\n" * 12 + named + resource
    signature = hmac.digest(b64decode(_KEY), printed.encode(), "sha256")
    headers["Authorization"] = f"SharedKey {_ACCOUNT}:{b64encode(signature).decode()}"
    url = f"{endpoint}/{_ACCOUNT}/{CONTAINER}?restype=container"
    urlopen(Request(url, method="PUT", headers=headers), timeout=60).close()  # noqa: S310


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureForTests]:
    with running() as server:
        yield server
