"""
Measures the run page of a large run in a browser: CPU of its main thread, frames, heap, bytes.

``python -m benchmarks.console --count 50000`` needs the console (``make console``) and Chromium
(``make browser-packages``). The run is written into the database. CPU is what the browser's main
thread and the control plane use, as they count it, so that a busy machine changes little.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import CDPSession, Page, expect

from benchmarks.dispatch import DOMAIN, PROJECT, Bench
from benchmarks.stack import Stack, running_stack, table
from tests.browsers import chromium
from tests.large_runs import import_actions

_FRAMES = 240
_WITHIN = 60_000  # ms
_SCROLL = """async (frames) => {
  const box = document.querySelector('[role=treegrid]');
  for (let frame = 1; frame <= frames; frame++) {
    box.scrollTop = (box.scrollHeight * frame) / frames;
    await new Promise(requestAnimationFrame);
  }
}"""
_LONG_TASKS = """() => {
  window.longTasks = 0;
  new PerformanceObserver((list) => { window.longTasks += list.getEntries().length; })
    .observe({ type: 'longtask' });
}"""


class Viewer:
    """A page with the counters of its browser."""

    def __init__(self, page: Page, session: CDPSession, stack: Stack) -> None:
        self.page = page
        self._session = session
        self._stack = stack
        self._received = 0
        session.on("Network.dataReceived", self._note)

    def _note(self, event: "dict[str, int]") -> None:
        self._received += event["encodedDataLength"]

    async def begin(self) -> None:
        await self._session.send("Network.enable")
        await self._session.send("Performance.enable")
        await self.page.add_init_script(f"({_LONG_TASKS})()")

    async def count(self) -> "dict[str, float]":
        answer = await self._session.send("Performance.getMetrics")
        metrics = {each["name"]: each["value"] for each in answer["metrics"]}
        return {
            "browser": metrics["TaskDuration"],
            "bytes": self._received,
            "control plane": self._stack.cpu_seconds()["control plane"],
            "postgres": self._stack.cpu_seconds()["postgres"],
            "long tasks": await self.page.evaluate("window.longTasks ?? 0"),
        }

    async def heap(self) -> float:
        await self._session.send("HeapProfiler.collectGarbage")
        answer = await self._session.send("Runtime.getHeapUsage")
        return float(answer["usedSize"])


async def measure(stack: Stack, options: argparse.Namespace, pictures: Path) -> None:
    bench = Bench(stack.endpoint)
    await bench.begin()
    await import_actions(stack.superuser_url, bench.run.name, options.count)
    url = f"http://{stack.endpoint}/v2"
    run = f"{url}/domain/{DOMAIN}/project/{PROJECT}/runs/{bench.run.name}"
    async with chromium() as browser:
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        viewer = Viewer(page, await context.new_cdp_session(page), stack)
        await viewer.begin()
        await page.goto(url)  # once, so that scripts are cached
        tree = page.get_by_role("treegrid", name="Actions")

        async def open_run() -> None:
            await page.goto(run)
            await expect(page.get_by_role("row").nth(1)).to_contain_text("child", timeout=_WITHIN)

        async def open_fold() -> None:
            await page.get_by_role("row").nth(1).click()
            await expect(page.get_by_role("row").nth(9)).to_be_visible(timeout=_WITHIN)

        async def scroll() -> None:
            await page.evaluate(_SCROLL, _FRAMES)

        async def find() -> None:
            await page.get_by_label("Find an action").fill(f"w{options.count - 7:06}")
            await expect(tree).to_have_attribute("aria-rowcount", "1", timeout=_WITHIN)

        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "open the run": open_run,
            "open its children": open_fold,
            f"scroll through all in {_FRAMES} frames": scroll,
            "find one": find,
        }
        columns = ("browser CPU, ms", "long tasks", "control plane CPU, s", "Postgres CPU, s", "kB")
        with table(f"The run page of {options.count} actions", "step", *columns) as rows:
            for name, step in steps.items():
                before = await viewer.count()
                if name == "open the run":
                    before = {**before, "browser": 0.0, "long tasks": 0.0}  # of a new page
                await step()
                after = await viewer.count()
                used = {key: after[key] - before[key] for key in after}
                rows.add_row(
                    name,
                    f"{used['browser'] * 1000:.0f}",
                    f"{used['long tasks']:.0f}",
                    f"{used['control plane']:.2f}",
                    f"{used['postgres']:.2f}",
                    f"{used['bytes'] / 1000:.0f}",
                )
            rows.add_row("heap afterwards, MB", f"{await viewer.heap() / 1e6:.1f}", "", "", "", "")
        await page.screenshot(path=pictures / "run.png")
    await bench.end()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    options = parser.parse_args()
    with TemporaryDirectory() as pictures:
        async with running_stack() as stack:
            await measure(stack, options, Path(pictures))


if __name__ == "__main__":
    asyncio.run(main())
