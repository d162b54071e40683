"""Prometheus and its promtool, from Debian's package ``prometheus``."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from tests.ports import free_ports
from tests.programs import Program

_CHECK_SECONDS = 120
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Promtool:
    path: str

    def run(self, *arguments: str | Path, given: str = "") -> str:
        """Run it on ``given``; AssertionError with its output if it fails."""
        done = subprocess.run(  # noqa: S603 -- our own arguments
            [self.path, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=_CHECK_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    return Promtool(_find("promtool"))


@dataclass(frozen=True, slots=True)
class Prometheus:
    program: Program
    url: str

    def get(self, path: str) -> Any:
        """Return the data of an answer of the HTTP API."""
        with urlopen(f"{self.url}{path}", timeout=60) as answer:  # noqa: S310 -- ours
            return yaml.safe_load(answer.read())["data"]  # JSON is YAML

    def alerts(self) -> Sequence[Mapping[str, Any]]:
        return list(self.get("/api/v1/alerts")["alerts"])


@contextmanager
def scraping(home: Path, targets: Sequence[str], rules: Sequence[Path]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes and evaluates once a second."""
    path = _find("prometheus")
    [port] = free_ports(1)
    config = home / "prometheus.yml"
    config.write_text(
        yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [
                {"job_name": "volary", "static_configs": [{"targets": [*targets]}]}
            ],
        })
    )  # fmt: skip
    command = [
        path,
        f"--config.file={config}",
        f"--storage.tsdb.path={home / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    prometheus = Prometheus(Program("prometheus", command, logs=home), f"http://127.0.0.1:{port}")

    def is_ready() -> bool:
        try:
            with urlopen(f"{prometheus.url}/-/ready", timeout=5) as answer:  # noqa: S310 -- ours
                return bool(answer.status == 200)
        except OSError:
            return False

    with prometheus.program.running():
        prometheus.program.wait_until(is_ready, "it is ready", within=_START_SECONDS)
        yield prometheus


def _find(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here; make prometheus-package installs it")
    return found
