"""
A real OpenID Connect provider for tests: npm's oidc-provider, kept in ``.cache``.

Its people log in with any password. Tests change their claims, and rotate its keys, while it runs.
"""

import fcntl
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from playwright.async_api import Page

from tests.ports import free_ports
from tests.programs import Program

_VERSION = "9.13.3"
_HOME = Path(__file__).parents[2] / ".cache" / f"oidc-provider-{_VERSION}"
_SCRIPT = Path(__file__).with_suffix(".mjs")
SECRET = "the-client-secret-of-tests"  # noqa: S105

ADA: Mapping[str, Any] = {
    "name": "Ada Lovelace",
    "email": "ada@acme.example",
    "email_verified": True,
    "groups": ["data", "admins"],
}


@dataclass(frozen=True, slots=True)
class OidcProviderForTests:
    issuer: str
    client_id: str
    program: Program

    def control(self, **wanted: Any) -> None:
        """Change ``accounts``, the ``delay`` of answers in milliseconds, or ``rotate`` the keys."""
        httpx.post(f"{self.issuer}/control", json=wanted).raise_for_status()

    def restart(self) -> None:
        """Start it again after it was killed; it has forgotten its sessions and grants."""
        self.program.start()
        self.program.wait_until(lambda: _answers(self.issuer), "ready", within=60)

    async def log_in_at(self, page: Page, account: str) -> None:
        """Log in and consent in a real browser that was led here."""
        await page.wait_for_url(f"{self.issuer}/**")
        await page.fill("input[name=login]", account)
        await page.fill("input[name=password]", "any")
        await page.click("button[type=submit]")
        await page.wait_for_selector("button[autofocus]")
        await page.click("button[type=submit]")

    async def log_in(self, browser: httpx.AsyncClient, address: str, account: str) -> str:
        """Log in and consent as a person does; return the address that leads back."""
        page = await browser.get(address)
        for _ in range(12):
            if page.is_redirect:
                going = urljoin(str(page.url), page.headers["location"])
                if not going.startswith(self.issuer):
                    return going
                page = await browser.get(going)
                continue
            assert page.status_code == 200, page.text
            action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
            assert action is not None, page.text
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
            assert prompt is not None, page.text
            form = {"prompt": prompt[1], "login": account, "password": "any"}
            page = await browser.post(urljoin(str(page.url), unescape(action[1])), data=form)
        raise AssertionError(f"the provider does not lead back: {page.url}")


def _install() -> Path:
    """Install the package once; a session that runs beside this one waits."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("oidc-provider comes from npm, and there is no npm here")
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_HOME / "node_modules/oidc-provider/package.json").exists():
            subprocess.run(  # noqa: S603 - fixed words
                [npm, "install", "--no-fund", "--no-audit", "--silent", f"oidc-provider@{_VERSION}"],
                cwd=_HOME, check=True, timeout=300,
            )  # fmt: skip
        # Beside node_modules: modules of Node are found by the script's own place.
        script = _HOME / _SCRIPT.name
        if not script.exists() or script.read_text() != _SCRIPT.read_text():
            script.write_text(_SCRIPT.read_text())
    return script


@contextmanager
def running(
    logs: Path,
    *,
    redirect_uris: Sequence[str],
    logout_uris: Sequence[str] = (),
    accounts: Mapping[str, Mapping[str, Any]] | None = None,
    name: str = "oidc-provider",
    client_id: str = "volary",
) -> Iterator[OidcProviderForTests]:
    script, node = _install(), shutil.which("node")
    assert node is not None, "npm is there, and node is not"
    [port] = free_ports(1)
    issuer = f"http://127.0.0.1:{port}"
    settings = {
        "issuer": issuer,
        "port": port,
        "client": {
            "id": client_id,
            "secret": SECRET,
            "redirectUris": list(redirect_uris),
            "logoutUris": list(logout_uris),
        },
        "accounts": {"ada": ADA} if accounts is None else accounts,
    }
    program = Program(name, [node, script, json.dumps(settings)], logs=logs)
    with program.running():
        program.wait_until(lambda: _answers(issuer), "ready", within=60)
        yield OidcProviderForTests(issuer, client_id, program)


def _answers(issuer: str) -> bool:
    try:
        return httpx.get(f"{issuer}/.well-known/openid-configuration").is_success
    except httpx.TransportError:
        return False
