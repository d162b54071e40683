"""Launching of child programs: tied to the parent, and not as root."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from controlplane.embedded import launching
from controlplane.embedded.postgres import Unprivileged

PYTHON = sys.executable
WHO = ["/usr/bin/id", "-u"]
WAYS = [Unprivileged.for_this_process()]
if os.geteuid() == 0:
    WAYS.append(Unprivileged(user=65534))


def output(command: list[str]) -> str:
    return subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()


def test_launched_program_gets_its_arguments_unchanged() -> None:
    show = [PYTHON, "-c", "import sys; print(sys.argv[1:])", "--user", "a b", "--"]
    assert output(launching.command(show)) == "['--user', 'a b', '--']"


@pytest.mark.parametrize("how", WAYS, ids=repr)
def test_launched_program_is_not_root(how: Unprivileged) -> None:
    assert output(how.command(WHO)) != "0"


def test_launched_child_dies_with_its_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    sleeper = [
        PYTHON,
        "-c",
        f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)",
    ]
    parent = (
        "import os, subprocess, time\n"
        "from controlplane.embedded import launching\n"
        f"subprocess.Popen(launching.command({sleeper!r}, parent=os.getpid()))\n"
        f"while not os.path.exists({str(pid_file)!r}) or not open({str(pid_file)!r}).read(): time.sleep(0.01)\n"
    )
    subprocess.run([PYTHON, "-c", parent], timeout=30, check=True)  # noqa: S603
    child = int(pid_file.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).wait(10) is None


def test_launched_child_of_a_dead_parent_does_not_start() -> None:
    stranger = launching.command([PYTHON, "-c", "print('started')"], parent=1)
    ended = subprocess.run(stranger, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    assert (ended.returncode, ended.stdout) == (1, "")
