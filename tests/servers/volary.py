"""Runs ``volary up`` as a process, with its data in a directory of the test."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests import program_logs

_UP_SECONDS = 120.0
_STOP_SECONDS = 60.0
_ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class VolaryUp:
    process: subprocess.Popen[bytes]
    data: Path
    log: Path
    endpoint: str = ""  # host:port of the API, once it is up

    def output(self) -> str:
        """Everything it has printed so far, stdout and stderr together."""
        return self.log.read_text(errors="replace")

    def wait_until_up(self) -> None:
        status_file = self.data / "up.json"

        def is_up() -> bool:
            try:
                where = json.loads(status_file.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                return False
            if where["pid"] != self.process.pid:  # of one that was killed
                return False
            self.endpoint = where["endpoint"]
            return True

        self.wait_until(is_up, "it is up")

    def wait_until_said(self, words: str, *, times: int = 1) -> None:
        self.wait_until(lambda: self.output().count(words) >= times, f"it says {words!r}")

    def wait_until(self, fact: Callable[[], bool], what: str) -> None:
        """Wait for a fact; AssertionError with the whole log when it ends or dawdles first."""
        until = time.monotonic() + _UP_SECONDS
        while not fact():
            assert self.process.poll() is None, f"ended before {what}:\n{self.output()}"
            assert time.monotonic() < until, f"{what}: not in time:\n{self.output()}"
            time.sleep(0.02)

    def family(self) -> list[psutil.Process]:
        """List the processes it has started, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(_STOP_SECONDS)


def start(
    data: Path,
    *options: str,
    log: Path | None = None,
    context: Mapping[str, str] | None = None,
) -> VolaryUp:
    """Start it on free ports; it may not be up yet, or ever."""
    output = data.with_name(f"{data.name}.log") if log is None else log
    command = [sys.executable, "-m", "controlplane.cli", "up", "--data-dir", str(data)]
    command += ["--http-port", "0", "--link-port", "0", *options]
    program_logs.follow("volary up", output)
    program_logs.follow("attempt", data / "agent" / "attempts")
    with output.open("wb") as words:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=_ROOT,
            stdout=words,
            stderr=words,
            env={**os.environ, **(context or {})},
        )
    return VolaryUp(process, data, output)


@contextmanager
def running(
    data: Path, *options: str, context: Mapping[str, str] | None = None
) -> Iterator[VolaryUp]:
    """Have it up for the length of a block."""
    up = start(data, *options, context=context)
    try:
        up.wait_until_up()
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


def environment(home: Path) -> dict[str, str]:
    """The environment of a ``flyte`` command of a test: its caches are the test's own."""
    return {**os.environ, "HOME": str(home), "DO_NOT_TRACK": "1", "LOG_LEVEL": "ERROR"}
