"""The copilot runs before and after every raw container: what it loads is counted."""

import json
import resource
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
_MOST_SECONDS = 0.2
_PYTHON_SECONDS = 0.02


@pytest.fixture(scope="module")
def modules() -> set[str]:
    code = "import json, sys; import dataplane.copilot.main; print(json.dumps(sorted(sys.modules)))"
    found = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(found.stdout))


@pytest.mark.parametrize("stranger", sorted(_STRANGERS))
def test_the_copilot_does_not_load(modules: set[str], stranger: str) -> None:
    assert stranger not in modules, _STRANGERS[stranger]


def test_the_copilot_loads_few_modules(modules: set[str]) -> None:
    assert len(modules) <= _MOST_MODULES


@pytest.mark.parametrize("arguments", [["--help"], ["download", "--handoff", "/nowhere"]])
def test_the_command_line_loads_fewer(arguments: list[str]) -> None:
    words = [sys.executable, "-X", "importtime", "-m", "dataplane.copilot", *arguments]
    said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603

    assert "http.client" not in said.stderr
    assert "google.protobuf" not in said.stderr


def test_the_copilot_is_ready_in_milliseconds() -> None:
    """
    Seconds of CPU, the best of some, on a machine where Python alone takes 20 ms. Where it
    takes longer, as on a busy one, so may we.
    """
    alone, ready = (
        min(_cpu_seconds(code) for _ in range(7)) for code in ("", "import dataplane.copilot.main")
    )
    assert ready < _MOST_SECONDS * max(1, alone / _PYTHON_SECONDS)


def _cpu_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
