"""Writes the requirements of each image from ``pyproject.toml``, one file for each."""

import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
images = {
    "controlplane": [*project["dependencies"], *extras["controlplane"]],
    "agent": [*project["dependencies"], *extras["agent"]],
    "copilot": extras["copilot"],  # without the dependencies that the other programs share
}
for image, requirements in images.items():
    Path(f"{image}.txt").write_text("".join(f"{each}\n" for each in requirements))
