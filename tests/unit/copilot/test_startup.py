"""The copilot runs before and after every raw container: what it loads is counted."""

import json
import os
import subprocess
import sys

import pytest

_STRANGERS = {
    "asyncio": "threads move bytes here; half as much again to import",
    "click": "argparse is there already",
    "controlplane": "the other plane",
    "flyte": "there is no SDK in a raw container",
    "grpc": "links come over HTTP",
    "httpx": "as slow to import as all the rest",
    "obstore": "there are no keys to buckets here; its async calls abort at exit",
    "rich": "nobody watches",
    "watchfiles": "only a sidecar waits, and loads it then",
    "yaml": "only for inputs.yaml, and loaded then",
}
_MOST_MODULES = 260
_MOST_SOURCE_BYTES = 4_500_000  # of the loaded modules; time to start goes with this
_LIST_MODULES = """
import json, os, sys
import dataplane.copilot.main
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
print(json.dumps({
    name: os.path.getsize(file) if file.endswith(".py") else 0 for name, file in files.items()
}))
"""


@pytest.fixture(scope="module")
def modules() -> dict[str, int]:
    """Source bytes of each module that the copilot has loaded when it is ready, by name."""
    found = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _LIST_MODULES],
        capture_output=True, text=True, check=True, timeout=60,
        env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")},
    )  # fmt: skip
    sizes: dict[str, int] = json.loads(found.stdout)
    return sizes


@pytest.mark.parametrize("stranger", sorted(_STRANGERS))
def test_copilot_imports_exclude(modules: dict[str, int], stranger: str) -> None:
    assert stranger not in modules, _STRANGERS[stranger]


def test_copilot_imports_few_modules(modules: dict[str, int]) -> None:
    assert len(modules) <= _MOST_MODULES


def test_copilot_imports_little_source(modules: dict[str, int]) -> None:
    assert 0 < sum(modules.values()) <= _MOST_SOURCE_BYTES


@pytest.mark.parametrize("arguments", [["--help"], ["download", "--handoff", "/nowhere"]])
def test_copilot_command_line_imports_fewer_modules(arguments: list[str]) -> None:
    words = [sys.executable, "-X", "importtime", "-m", "dataplane.copilot", *arguments]
    output = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603

    assert "http.client" not in output.stderr
    assert "google.protobuf" not in output.stderr
