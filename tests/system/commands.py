"""Runs the ``flyte`` command and ``flyte`` scripts with a clean home directory."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scripts.sdk_exits import intended_exit_code
from tests import program_logs

WORKFLOWS = Path(__file__).parent / "workflows"
SCRIPTS = Path(__file__).parent / "scripts"
PROJECT, DOMAIN = "flytesnacks", "development"

_CREATED = re.compile(r"Created Run: (\S+)")
_WITHIN_SECONDS = 150


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """Result of a command: its exit code and its output."""

    code: int
    text: str

    @property
    def run(self) -> str:
        """The name of the run that it says it has created."""
        return _created(self.text)


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that has not ended yet."""

    process: "subprocess.Popen[bytes]"
    output: Path

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    @property
    def run(self) -> str:
        return _created(self.text())

    def wait(self) -> int:
        try:
            return intended_exit_code(self.process.wait(_WITHIN_SECONDS), self.text())
        finally:
            self.process.kill()


class Reachable(Protocol):
    @property
    def endpoint(self) -> str: ...


class Flyte:
    """
    The ``flyte`` command line, with a home directory of its own.

    The SDK keeps a cache of uploaded bundles at home, so a home belongs to one stack.
    """

    def __init__(self, stack: Reachable, home: Path, *, place: Path = WORKFLOWS) -> None:
        self.home = home
        self._place = place
        self._config = home / ".flyte" / "config.yaml"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "COLUMNS": "500",
            "PYTHONUNBUFFERED": "1",
        }
        self.endpoint = stack.endpoint
        home.mkdir(parents=True, exist_ok=True)
        self._run(
            *(_program("flyte"), "create", "config", "--endpoint", stack.endpoint, "--insecure"),
            *("--project", PROJECT, "--domain", DOMAIN, "--output", str(self._config)),
        )

    def __call__(self, *arguments: str, expect: int = 0) -> CommandOutput:
        """Run ``flyte`` with these arguments, at ``place``."""
        return self._run(
            *(_program("flyte"), "--config", str(self._config), "--no-progress", *arguments),
            expect=expect,
        )

    def begin_script(self, name: str, *arguments: str) -> "Begun":
        """Start one of our scripts, and do not wait for it."""
        output = self.home / f"{name}.txt"
        program_logs.follow(name, output)
        with output.open("wb") as words:
            process = subprocess.Popen(  # noqa: S603 -- our own command line
                (sys.executable, str(SCRIPTS / name), self.endpoint, *arguments),
                cwd=WORKFLOWS,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
            )
        return Begun(process, output)

    def read(self, *arguments: str) -> Any:
        """Run ``flyte get`` with these arguments, and return what it shows as JSON."""
        ended = self("--output-format", "json-raw", "get", *arguments)
        # It is wrapped at spaces, as if it were for people.
        return json.loads(ended.text.replace("\n", " "), strict=False)

    def script(self, name: str, *arguments: str) -> CommandOutput:
        """Run one of our scripts, which use ``flyte`` as a library."""
        return self._run(sys.executable, str(SCRIPTS / name), self.endpoint, *arguments)

    def deploy(self) -> None:
        """Deploy every workflow, in one go."""
        self("deploy", "--all", "--recursive", "--root-dir", str(WORKFLOWS), str(WORKFLOWS))

    def _run(self, *command: str, expect: int = 0) -> CommandOutput:
        done = subprocess.run(  # noqa: S603 -- our own command line
            command,
            cwd=self._place,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_WITHIN_SECONDS,
            check=False,
        )
        text = done.stdout.decode(errors="replace")
        ended = CommandOutput(intended_exit_code(done.returncode, text), text)
        assert ended.code == expect, f"{command} ended with {ended.code}:\n{ended.text}"
        return ended


def _created(text: str) -> str:
    found = _CREATED.search(text)
    assert found, f"no run was created:\n{text}"
    return found[1]


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
