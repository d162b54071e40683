"""
Writes the requirements of each image from ``pyproject.toml``, one file for each.

``AGENT_EXTRAS`` names further extras of the agent's, such as ``secrets-vault secrets-gcp``.
"""

import os
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
images = {
    "controlplane": [*project["dependencies"], *extras["controlplane"], *extras["traces"]],
    "agent": [
        *project["dependencies"],
        *extras["agent"],
        *extras["traces"],
        *(each for name in os.environ.get("AGENT_EXTRAS", "").split() for each in extras[name]),
    ],
    "copilot": extras["copilot"],  # without the dependencies that the other programs share
}
for image, requirements in images.items():
    Path(f"{image}.txt").write_text("".join(f"{each}\n" for each in requirements))
