"""The images as they were built: what is in them, as whom they run, how they start and end."""

import json
import re

import pytest

from tests.kube import containerfile
from tests.kube.client import Json, KubeClient
from tests.kube.node.install import archive
from tests.servers.kubernetes import NodeForTests

_RUNS_AS = {
    "controlplane": (["volary"], ["controlplane", "serve"]),
    "agent": (["volary-agent"], ["run"]),
    "copilot": (["volary-copilot"], ["--help"]),
}
# Some 45 of the first two are the library that seals secrets (shared/secrets/DECISIONS.md, 1), and 4 of
# the first the time zones of triggers and the library that sends mail, 5 the console, RE2 and DNS, and 3
# OpenTelemetry.
_MOST_MEBIBYTES = {"controlplane": 230, "agent": 245, "copilot": 50}
_NOT_WANTED = re.compile(
    r"(^|/)(\.cache|gcc|cc1|g\+\+|make|Makefile|uv)(/|$)|(^|/)(tests?/kube|source|wheels)/|\.whl$"
)
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
# Compiling at every start would take longer than all else: the file system is read-only.
_TELL_UNCOMPILED = """
import json, os, subprocess, sys
subprocess.run(["volary-copilot", "--help"], check=True, stdout=subprocess.DEVNULL)
import dataplane.copilot.main
ours = {name: module for name, module in sys.modules.items() if getattr(module, "__cached__", None)}
uncompiled = [name for name, module in ours.items() if not os.path.exists(module.__cached__)]
print(json.dumps({
    "modules": len(sys.modules), "uncompiled": uncompiled,
    "user": os.getuid(), "group": os.getgid(),
}))
"""
_MOST_MODULES = 260


@pytest.mark.parametrize("program", containerfile.PROGRAMS)
def test_image_has_its_program_and_nothing_else(stocked_node: NodeForTests, program: str) -> None:
    del stocked_node  # skips where there is no archive
    with archive.opened(containerfile.find()) as images:
        image = images.image(containerfile.name_image(program))
    config = image.config["config"]
    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == _RUNS_AS[program]
    assert not [path for path in image.sizes if _NOT_WANTED.search(path)]
    has_controlplane = any("site-packages/controlplane/" in path for path in image.sizes)
    assert has_controlplane is (program == "controlplane")
    assert image.size < _MOST_MEBIBYTES[program] * 2**20


async def test_copilot_image_loads_few_modules_and_all_are_compiled(
    stocked_node: NodeForTests, kube: KubeClient
) -> None:
    del stocked_node
    async with kube.namespace() as namespace:
        path = await _run(kube, namespace, "copilot", ["python3", "-c", _TELL_UNCOMPILED])
        await kube.wait_for(path, _has_succeeded)
        output = json.loads(await kube.log(path))
    assert output["modules"] <= _MOST_MODULES
    assert output["uncompiled"] == []
    assert (output["user"], output["group"]) == (65532, 65532)


async def _run(kube: KubeClient, namespace: str, program: str, command: list[str]) -> str:
    """Start a pod of an image as strictly as pods can be had; returns its path."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    container = {
        "name": program,
        "image": containerfile.name_image(program),
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": _RESTRICTED,
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    await kube.create(pods, {"metadata": {"name": program}, "spec": spec})
    return f"{pods}/{program}"


def _has_succeeded(pod: Json) -> bool:
    return bool(pod["status"].get("phase") == "Succeeded")
