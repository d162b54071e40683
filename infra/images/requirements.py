"""Writes what each image is installed with, out of ``pyproject.toml``: one list for each."""

import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
wanted = {
    "controlplane": [*project["dependencies"], *extras["controlplane"]],
    "agent": [*project["dependencies"], *extras["agent"]],
    "copilot": extras["copilot"],  # it uses none of what the other programs share
}
for image, requirements in wanted.items():
    Path(f"{image}.txt").write_text("".join(f"{each}\n" for each in requirements))
