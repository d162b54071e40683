"""``volary controlplane`` as an operator runs it: settings in, a process that serves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from controlplane.embedded import databases
from controlplane.embedded.errors import UpError
from tests import program_logs
from tests.ports import free_ports
from tests.servers.postgres import DatabaseForTest

VOLARY = [sys.executable, "-m", "controlplane.cli"]
COMMAND = [*VOLARY, "controlplane"]


def settings(database: DatabaseForTest, home: Path) -> dict[str, str]:
    free = free_ports(2)
    return {
        **os.environ,
        "VOLARY_DATABASE_URL": database.url,
        "VOLARY_OWNER_DATABASE_URL": database.owner_url,
        "VOLARY_BLOB_BASE": home.as_uri(),
        "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
        "VOLARY_CLUSTER_TOKEN": "t" * 32,
        "VOLARY_HTTP_PORT": str(free[0]),
        "VOLARY_LINK_PORT": str(free[1]),
        "VOLARY_LOG_FORMAT": "json",
    }


def migrate(environment: dict[str, str]) -> str:
    return subprocess.run(  # noqa: S603
        [*VOLARY, "db", "upgrade"], env=environment, capture_output=True, text=True, check=True
    ).stdout


def is_ready(port: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, or slower than that
        return False


def test_controlplane_migrates_as_the_owner_and_serves_as_the_application(
    empty_database: DatabaseForTest, tmp_path: Path
) -> None:
    environment = settings(empty_database, tmp_path)
    assert migrate(environment).endswith("\nThe schema is up to date.\n")
    assert migrate(environment) == "The schema is up to date.\n"  # and once more does no harm

    log = tmp_path / "log"
    program_logs.follow("control plane", log)
    with (
        log.open("wb") as words,
        subprocess.Popen(  # noqa: S603
            [*COMMAND, "serve"], env=environment, stdout=words, stderr=words
        ) as process,
    ):
        until = time.monotonic() + 60
        while not is_ready(environment["VOLARY_HTTP_PORT"]):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    assert all(line.startswith("{") for line in log.read_text().splitlines())


async def test_a_postgres_that_is_too_old_is_refused_by_its_version(
    empty_database: DatabaseForTest,
) -> None:
    with pytest.raises(UpError, match=r"is Postgres 18; Volary needs 99 or newer"):
        await databases.require_usable(empty_database.url, oldest=99)
