"""
Does what the images are built with, without a builder: the commands of the Containerfile,
each image's in a directory of its own, and then its program, which must start.

It proves that what is installed suffices; layers, user and base image it cannot prove. Takes
minutes, so it is no test: ``python -m scripts.images`` after changing dependencies.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONTAINERFILE = ROOT / "infra/images/Containerfile"
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "controlplane": ("volary", "version"),
    "agent": ("volary-agent", "doctor", "--help"),
    "copilot": ("volary-copilot", "--help"),
}


def read_commands() -> Mapping[str, list[str]]:
    """Return each stage's RUN lines."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    commands: dict[str, list[str]] = {}
    stage = ""
    for line in text.replace("\\\n", " ").splitlines():
        if begun := re.match(r"FROM \S+ AS (\S+)", line):
            stage = begun[1]
            commands[stage] = []
        elif line.startswith("RUN "):
            commands[stage].append(line.removeprefix("RUN "))
    return commands


def build(image: str, home: Path) -> Path:
    """Build what the image has in /opt/volary, below ``home``."""
    source, wheels, made = home / "source", home / "wheels", home / "volary"
    wheels.mkdir(parents=True)
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("requirements", "controlplane", "dataplane", "shared"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    commands = read_commands()
    for command in [*commands["source"], *commands[f"{image}-files"]]:
        here = command.replace("/opt/volary", str(made)).replace("/wheels", str(wheels))
        subprocess.run(["/bin/sh", "-c", here], cwd=source, check=True)  # noqa: S603
    return made


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="volary-images-") as home:
        for image, program in PROGRAMS.items():
            print(f"=== {image}", flush=True)
            made = build(image, Path(home, image))
            bare = {"PATH": f"{made}/bin:{os.defpath}", "HOME": home}
            subprocess.run(program, env=bare, cwd=home, check=True)  # noqa: S603
            size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
            print(f"=== {image}: {size / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
