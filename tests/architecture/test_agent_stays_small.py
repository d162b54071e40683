"""Limits on the modules that the agent imports, because it runs in customers' clusters."""

import json
import subprocess
import sys

import pytest

_STRANGERS = {
    "alembic": "the control plane's migrations",
    "asyncpg": "the control plane's database",
    "connectrpc": "the public API",
    "controlplane": "the other plane",
    "flyte": "the user's SDK; only task processes load it, in the version they bring",
    "httpx": "the agent has one connection, and that is gRPC",
    "protovalidate": "the public API",
    "pydantic": "nobody here needs it",
    "sqlalchemy": "the control plane's database",
    "starlette": "the agent serves nothing",
}

_SHIMS_TOO = {
    "asyncio": None,
    "google": "the shim knows no messages",
    "grpc": "the shim knows no link",
    "obstore": "the shim knows no store",
    "sqlite3": "the shim knows no ledger",
}


def _loaded_by(program: str) -> set[str]:
    code = f"import json, sys; {program}; print(json.dumps(sorted(sys.modules)))"
    found = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.partition(".")[0] for name in json.loads(found.stdout)}


@pytest.fixture(scope="module")
def agents_modules() -> set[str]:
    return _loaded_by("import dataplane.agent.cli")


@pytest.mark.parametrize("stranger", sorted(_STRANGERS))
def test_agent_imports_exclude(agents_modules: set[str], stranger: str) -> None:
    assert stranger not in agents_modules, _STRANGERS[stranger]


def test_agent_in_a_pod_loads_no_kubernetes_models() -> None:
    loaded = _loaded_by("import dataplane.agent.main.pods, dataplane.agent.kube.transport")

    assert "kubernetes" not in loaded, "its 1,400 modules are half of an agent's memory"


def test_shim_loads_little_more_than_the_standard_library() -> None:
    loaded = _loaded_by("import dataplane.agent.runtimes.process.shim")

    assert not loaded & {name for name, why in _SHIMS_TOO.items() if why}


def test_zygote_starts_with_as_few_imports() -> None:
    loaded = _loaded_by("import dataplane.agent.runtimes.process.zygote")

    assert not loaded & {name for name, why in _SHIMS_TOO.items() if why}


@pytest.mark.parametrize(
    "program",
    ["controlplane.cli", "controlplane.main", "dataplane.agent.main.pods", "dataplane.copilot.cli"],
)
def test_programs_load_no_opentelemetry_until_an_endpoint_is_configured(program: str) -> None:
    assert "opentelemetry" not in _loaded_by(f"import {program}")
