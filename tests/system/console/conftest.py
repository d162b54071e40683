"""People at the console: the owner of a stack with logins, and visitors of the shared one, which has none."""

import fcntl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from scripts.console import BUILT, CONSOLE, ROOT
from tests.browsers import chromium
from tests.ports import free_ports
from tests.servers import oidc_provider, volary
from tests.servers.oidc_provider import OidcProviderForTests
from tests.system.console.people import GUEST, ROLES, Owner, Team, email_of
from tests.system.console.visitor import Visitor, visit
from tests.system.stack import Stack

_SOURCES = ("src", "index.html", "package.json", "package-lock.json", "vite.config.ts")

expect.set_options(timeout=30_000)  # ms, for machines that do other work too


@pytest.fixture(scope="session")
def built_console() -> Path:
    """The console's files, built from the present sources; one worker builds, the others wait."""
    lock = ROOT / ".cache" / "console.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not _is_fresh():
            command = [sys.executable, "-m", "scripts.console", "build"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
            assert done.returncode == 0, done.stdout + done.stderr
    return BUILT


def _is_fresh() -> bool:
    index = BUILT / "index.html"
    if not index.exists():
        return False
    roots = [CONSOLE / name for name in _SOURCES]
    sources = [file for root in roots for file in (root.rglob("*") if root.is_dir() else [root])]
    built = index.stat().st_mtime
    return all(file.stat().st_mtime <= built for file in sources if "gen" not in file.parts)


@pytest.fixture(scope="session")
def http_port() -> int:
    [port] = free_ports(1)
    return port


@pytest.fixture(scope="session")
def provider(
    http_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OidcProviderForTests]:
    """A real identity provider, which has a person for each built-in role."""
    with oidc_provider.running(
        tmp_path_factory.mktemp("provider"),
        redirect_uris=[f"https://localhost:{http_port}/login/callback"],
        accounts={
            name: {"name": name, "email": email_of(name), "email_verified": True}
            for name in (*ROLES, GUEST)
        },
    ) as provider:
        yield provider


@pytest.fixture(scope="session")
def control_plane(
    request: pytest.FixtureRequest,
    http_port: int,
    provider: OidcProviderForTests,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[volary.VolaryUp]:
    request.getfixturevalue("built_console")  # before it starts: it reads the files then
    data = tmp_path_factory.mktemp("console") / "data"
    context = {
        "VOLARY_OIDC_ISSUER": provider.issuer,
        "VOLARY_OIDC_CLIENT_ID": provider.client_id,
        "VOLARY_OIDC_CLIENT_SECRET": oidc_provider.SECRET,
        "VOLARY_OIDC_NAME": "Team login",
        "VOLARY_OIDC_PRIVATE_ADDRESSES": "true",
    }
    with volary.running(data, "--login", "--http-port", str(http_port), context=context) as up:
        up.wait_until_said("Another link")
        yield up


@pytest.fixture(scope="session")
def owner(control_plane: volary.VolaryUp) -> Owner:
    return Owner(f"https://{control_plane.endpoint}", control_plane)


@pytest.fixture(scope="session")
def team(owner: Owner, provider: OidcProviderForTests) -> Team:
    return Team(owner, provider)


@pytest.fixture
async def visitor(built_console: Path, stack: Stack, tmp_path: Path) -> AsyncIterator[Visitor]:
    """
    A person at the console of the shared stack.

    When they leave, the browser must not have reported an error: of a policy, of a script, of a
    request.
    """
    del built_console  # before the stack starts: it reads the files then
    async with httpx.AsyncClient(base_url=stack.url) as client:
        release = (await client.get("/healthz")).headers["x-volary-release"]
    if "+" not in release:
        pytest.skip("the stack started before the console was built; make console, then test again")
    async with chromium() as browser, visit(browser, stack.url, tmp_path) as visitor:
        yield visitor
        assert visitor.faults == []
