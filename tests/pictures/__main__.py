"""
Photographs the console for the README: a run's page, and its timeline.

``make pictures`` needs the built console (``make console``) and Chromium (``make browser-packages``). It starts
``volary up`` in a temporary directory, runs a workflow with the ``flyte`` command, and writes into
``docs/pictures``.
"""

import asyncio
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Page, expect

from controlplane.web import console
from tests.browsers import chromium
from tests.servers import volary
from tests.system.commands import DOMAIN, PROJECT, Flyte

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
MOST_BYTES = 150_000
_WIDTH, _HEIGHT = 1180, 640
_WITHIN = 120_000  # ms; only a hang takes so long


async def photograph(url: str, run: str) -> None:
    address = f"{url}/v2/domain/{DOMAIN}/project/{PROJECT}/runs/{run}"
    async with chromium() as browser:
        context = await browser.new_context(
            viewport={"width": _WIDTH, "height": _HEIGHT},
            color_scheme="light",
            reduced_motion="reduce",
        )
        page = await context.new_page()
        await page.goto(address)
        await expect(page.get_by_role("heading", level=1)).to_contain_text(
            "failed", timeout=_WITHIN
        )
        for group in ("folds", "export"):
            await page.get_by_role("row").filter(has_text=re.compile(group)).first.click()
        await page.get_by_role("button", name="Show", exact=True).click()
        await _save(page, "run")
        await page.goto(f"{address}?view=timeline")
        for group in ("folds", "export"):
            await page.get_by_role("row").filter(has_text=re.compile(group)).first.click()
        await _save(page, "timeline")


async def _save(page: Page, name: str) -> None:
    await expect(page.get_by_text("final", exact=True)).to_be_visible(timeout=_WITHIN)
    await expect(page.get_by_role("status", name="Loading")).to_have_count(0, timeout=_WITHIN)
    await page.evaluate("document.fonts.ready")
    file = PICTURES / f"{name}.png"
    await page.screenshot(path=file)
    size = file.stat().st_size
    assert size <= MOST_BYTES, f"{file} is larger than {MOST_BYTES:,} bytes"


def main() -> None:
    if not console.is_built():
        raise SystemExit("the console is not built: run make console first")
    PICTURES.mkdir(exist_ok=True)
    with (
        TemporaryDirectory(prefix="volary-pictures-") as home,
        volary.running(Path(home, "data")) as up,
    ):
        flyte = Flyte(up, Path(home), place=Path(__file__).parent)
        run = flyte("run", "training.py", "main").run
        asyncio.run(photograph(f"http://{up.endpoint}", run))


if __name__ == "__main__":
    main()
