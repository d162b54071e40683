"""
A pytest plugin: nothing that a run of tests started outlives it, not even if it is killed.

Each process of pytest has a watcher (:mod:`tests.watcher`), which gets an end of file when that
process dies, however it dies. Programs are recognised by a variable in their environment. Linux.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests import watcher

_watcher: "subprocess.Popen[str] | None" = None


def remove_if_killed(directory: str) -> None:
    """Have a directory removed if this run is killed; it removes it itself otherwise."""
    if _watcher is not None:
        _tell(directory)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    global _watcher  # noqa: PLW0603 -- a plugin is a module
    if sys.platform != "linux":
        return
    token = secrets.token_hex(8)
    environment = {name: value for name, value in os.environ.items() if name != watcher.VARIABLE}
    _watcher = subprocess.Popen(  # noqa: S603 -- our own arguments
        [sys.executable, "-I", "-S", str(Path(watcher.__file__)), token],
        cwd="/",
        env=environment,  # or it would count as a program of the run
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is not for it
        text=True,
    )
    os.environ[watcher.VARIABLE] = token


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    global _watcher  # noqa: PLW0603
    if _watcher is not None:
        _tell(watcher.DONE)
        _watcher.communicate()
        _watcher = None


def _tell(line: str) -> None:
    assert _watcher is not None
    assert _watcher.stdin is not None
    _watcher.stdin.write(f"{line}\n")
    _watcher.stdin.flush()
