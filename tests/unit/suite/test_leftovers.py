"""A run of tests that is killed leaves no program and no directory in memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.watcher import VARIABLE, find_programs

ROOT = Path(__file__).parents[3]
RUN = """
import os, pathlib, subprocess, sys, time
from tests import leftovers, watcher

def test_that_is_killed(request):
    here = pathlib.Path(__file__).parent
    (here / "data").mkdir()
    leftovers.remove_if_killed(str(here / "data"))
    child = "import subprocess; subprocess.run(['sleep', '600'], env={})"
    subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    token = os.environ[watcher.VARIABLE]
    while len(watcher.find_programs(token)) < 2:
        time.sleep(0.01)
    (here / "token.new").write_text(token)
    (here / "token.new").rename(here / "token")
    END
"""


def run(home: Path, end: str) -> "subprocess.Popen[bytes]":
    test = home / "test_it.py"
    test.write_text(RUN.replace("END", end))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.leftovers", "-p", "no:xdist"]
    return subprocess.Popen(  # noqa: S603 -- our own arguments
        [*command, "-c", os.devnull, "--rootdir", str(home), str(test)],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=str)
def test_killed_run_leaves_no_program_and_no_directory(
    tmp_path: Path, number: signal.Signals
) -> None:
    with run(tmp_path, "time.sleep(600)") as pytest_process:
        wait_for((tmp_path / "token").exists)
        token = (tmp_path / "token").read_text()
        assert len(find_programs(token)) >= 2
        pytest_process.send_signal(number)
    wait_for(lambda: not find_programs(token))
    wait_for(lambda: not (tmp_path / "data").exists())


def test_programs_of_one_run_are_not_those_of_another() -> None:
    own = os.environ[VARIABLE]
    with subprocess.Popen(["sleep", "600"], env={VARIABLE: "another"}) as other:  # noqa: S607
        assert find_programs("another") == {other.pid}
        assert os.getpid() not in find_programs(own)
        other.kill()
