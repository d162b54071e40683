"""The programs as people run them: an operator creates a cluster, and its agent joins by TLS."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.integration.agent_identity.tls_world import show
from tests.kube.certificates import Authority
from tests.ports import free_ports
from tests.programs import Program
from tests.servers.postgres import DatabaseForTest

COMMAND = [sys.executable, "-m", "controlplane.cli"]
WITHIN_SECONDS = 60


class Installation:
    """A control plane with TLS on the link, and the command line of its operator."""

    def __init__(self, home: Path, database: DatabaseForTest) -> None:
        self.home = home
        self.http, self.link, self.enrolment = free_ports(3)
        self.authority = Authority(home / "authority")
        shown = show(self.authority)
        self.environment = {
            **os.environ,
            "VOLARY_DATABASE_URL": database.url,
            "VOLARY_BLOB_BASE": (home / "blobs").as_uri(),
            "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
            "VOLARY_SEALING_KEY": base64.b64encode(b"s" * 32).decode(),
            "VOLARY_HTTP_PORT": str(self.http),
            "VOLARY_LINK_PORT": str(self.link),
            "VOLARY_ENROLMENT_PORT": str(self.enrolment),
            "VOLARY_LINK_TLS_CERT_FILE": str(shown.certificate),
            "VOLARY_LINK_TLS_KEY_FILE": str(shown.key),
        }
        self.program = Program(
            "control plane",
            [*COMMAND, "controlplane", "serve"],
            logs=home,
            environment=self.environment,
        )

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def operate(self, *arguments: str) -> Any:
        """Run ``volary cluster …`` and return its JSON."""
        done = subprocess.run(  # noqa: S603 -- our own arguments
            [*COMMAND, "cluster", *arguments, "--output", "json"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def agent(self, token_file: Path) -> Program:
        return Program(
            "agent",
            [
                *(sys.executable, "-m", "dataplane.agent", "run"),
                *("--control-plane", f"127.0.0.1:{self.link}"),
                *("--enrolment", f"127.0.0.1:{self.enrolment}"),
                *("--join-token-file", str(token_file)),
                *("--ca-file", str(self.authority.certificate)),
                *("--data-dir", str(self.home / "agent")),
                *("--log-level", "debug"),
            ],
            logs=self.home,
        )


@pytest.fixture
def installation(tmp_path: Path, test_database: DatabaseForTest) -> Iterator[Installation]:
    (tmp_path / "blobs").mkdir()
    installation = Installation(tmp_path, test_database)
    with installation.program.running():
        installation.program.wait_until(installation.is_ready, "it is ready", within=WITHIN_SECONDS)
        yield installation


def test_agent_joins_with_a_token_and_is_accepted_and_revoked(installation: Installation) -> None:
    token = installation.operate("create", "c1")["joinToken"]
    file = installation.home / "join-token"
    file.write_text(token)
    with installation.agent(file).running() as agent:
        agent.wait_until(
            lambda: "waiting for acceptance" in agent.output(), "it waits", within=WITHIN_SECONDS
        )
        waiting = installation.operate("enrolments", "c1")["enrolments"][0]
        assert waiting["state"] == "waiting"
        assert waiting["key"] in agent.output()  # which a person compares
        installation.operate("accept", "c1", "--key", waiting["key"])
        agent.wait_until(
            lambda: "connected to the control plane" in agent.output(),
            "it is connected",
            within=WITHIN_SECONDS,
        )
        assert installation.operate("show", "c1")["cluster"]["connected"] is True
        process = Path("/proc", str(agent.pid))
        for place in (
            process / "cmdline",
            process / "environ",
            agent.log,
            installation.program.log,
        ):
            assert token not in place.read_text(errors="replace"), place
        assert (installation.home / "agent/identity.json").stat().st_mode & 0o777 == 0o600
        replaced = subprocess.run(  # noqa: S603 -- our own arguments
            [*COMMAND, "controlplane", "replace-agent-authorities", "--yes"],
            env=installation.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "from now on" in replaced.stdout, replaced.stderr
        installation.operate("revoke", "c1", "--yes")
        agent.wait_until(
            lambda: "was revoked; enrol again" in agent.output(), "it ends", within=WITHIN_SECONDS
        )
