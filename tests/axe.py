"""axe-core, which finds what people with disabilities cannot use, in the page of a real browser."""

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Page

_ROOT = Path(__file__).parents[1]
_OF_CONSOLE = _ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
_CHECK = """async () => {
  const found = await axe.run({iframes: false});
  return found.violations.map((each) =>
    each.id + ': ' + each.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | '));
}"""


def find_axe() -> Path:
    """Return the script: the console's own, or the same release, kept in ``.cache``."""
    if _OF_CONSOLE.exists():
        return _OF_CONSOLE
    packages = json.loads((_ROOT / "console" / "package.json").read_text())
    version = packages["devDependencies"]["axe-core"]
    home = _ROOT / ".cache" / f"axe-core-{version}"
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("axe-core comes from npm, and there is no npm here")
    home.mkdir(parents=True, exist_ok=True)
    script = home / "node_modules" / "axe-core" / "axe.min.js"
    with (home / "lock").open("w") as lock:  # a session that runs beside this one waits
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not script.exists():
            subprocess.run(  # noqa: S603 - fixed words
                [npm, "install", "--no-fund", "--no-audit", "--silent", f"axe-core@{version}"],
                cwd=home, check=True, timeout=300,
            )  # fmt: skip
    return script


async def find_violations(page: Page) -> list[str]:
    """Return what axe finds in the page as it is shown now."""
    if not await page.evaluate("'axe' in window"):
        # Not by a <script> element, which the page's policy forbids.
        await page.evaluate(find_axe().read_text())
    found: list[str] = await page.evaluate(_CHECK)
    return found
