"""The images' Containerfile keeps to what the charts and the package expect of it."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.images import CONTAINERFILE, PROGRAMS, read_commands

ROOT = Path(__file__).parents[3]


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def _stage(name: str) -> str:
    """Return the lines of one stage."""
    text = CONTAINERFILE.read_text()
    found = re.search(rf"^FROM \S+ AS {name}$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def _list(stage: str, word: str) -> list[str]:
    found = re.search(rf"^{word} (\[.*\])$", _stage(stage), re.MULTILINE)
    assert found, f"{stage} has no {word} as a list: a shell would stand between it and SIGTERM"
    return list(json.loads(found[1]))


@pytest.mark.parametrize("image", PROGRAMS)
def test_process_one_is_a_program_of_the_package(image: str) -> None:
    (program,) = _list(image, "ENTRYPOINT")
    assert program in _project()["scripts"]
    assert program == PROGRAMS[image][0]


def test_they_run_as_the_number_that_the_charts_say() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", _stage("runtime"), re.MULTILINE)
    assert user
    for chart in ("volary-agent", "volary-controlplane"):
        values = yaml.safe_load((ROOT / "infra/helm" / chart / "values.yaml").read_text())
        context = values["podSecurityContext"]
        assert [str(context["runAsUser"]), str(context["runAsGroup"])] == list(user.groups())


@pytest.mark.parametrize("image", ["controlplane", "agent"])
def test_an_image_has_its_own_extra_alone(image: str) -> None:
    (install,) = read_commands()[f"{image}-files"]
    assert f")[{image}]" in install
    assert image in _project()["optional-dependencies"]


def test_every_version_is_one_that_was_tested() -> None:
    for image in PROGRAMS:
        for command in read_commands()[f"{image}-files"]:
            for install in command.split("&&"):
                if "pip" in install:
                    assert "--constraint" in install or "--no-deps" in install


def test_what_is_copied_is_sent_to_the_builder() -> None:
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE.read_text(), re.MULTILINE)
        for name in line.split()[:-1]
    }
    sent = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert copied == set(sent)
    for name in copied:
        assert (ROOT / name).exists()
