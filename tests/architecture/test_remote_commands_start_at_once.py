"""Limits on the modules that remote commands import, because people wait for them."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "asyncio",
    "authlib",
    "connectrpc",
    "cryptography",
    "flyteidl2",
    "google",
    "grpc",
    "httpx",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}


@pytest.mark.parametrize("command", [["whoami"], ["context", "list"], ["login", "http://x"]])
def test_remote_command_imports_little_more_than_the_standard_library(command: list[str]) -> None:
    code = (
        "import json, sys\n"
        "from controlplane.cli import main\n"
        "try:\n"
        f"    main({[*command, '--url', 'http://localhost:1'] if command == ['whoami'] else command!r})\n"
        "except SystemExit:\n"
        "    print(json.dumps(sorted(sys.modules)))\n"
    )
    found = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"HOME": "/nonexistent"},
    )
    modules = json.loads(found.stdout.splitlines()[-1])
    assert not {name.partition(".")[0] for name in modules} & HEAVY
    assert len(modules) < 330, "a remote command starts in a tenth of a second"
