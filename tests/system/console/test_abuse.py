"""The console under what is hostile or huge: logs, names, labels, a network that fails, a run that goes."""

import asyncio
import gzip
import json
from pathlib import Path

import asyncpg
from playwright.async_api import CDPSession, Request, expect

from tests.browsers import chromium
from tests.faults.proxy import Proxy
from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, project_path, superuser_url, visit
from tests.system.stack import Stack

LINES = 1_000_000
NEEDLE = 123_456
MOST_ROWS = 150  # elements
HOSTILE = (
    "<script>document.title='taken'</script>\n"
    "<img src=x onerror=\"document.title='taken'\">\n"
    "right to left: \u202egnidaer\u202c and \u05e9\u05dc\u05d5\u05dd\n"
    "\x1b[31mred\x1b[0m \x1b]0;taken\x07 https://example.com/a?b=1 javascript:alert(1)\n"
    "end\n"
)


def _write_log(stack: Stack, run: str) -> None:
    """Replace the log of a run's root by one of a million lines."""
    [place] = (stack.data / "blobs").rglob(f"{run}/a0/1/logs.jsonl.gz")
    with gzip.open(place, "wb", compresslevel=1) as file:
        for number in range(1, LINES + 1):
            text = "the needle" if number == NEEDLE else f"line {number}"
            line = {"t": 1_700_000_000_000_000 + number, "m": text, "o": 1}
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


async def test_log_of_a_million_lines_opens_at_its_end_and_is_searched_whole(
    visitor: Visitor, stack: Stack, flyte: Flyte
) -> None:
    run = flyte("run", "--follow", "talking.py", "main", "--lines", "3").run
    _write_log(stack, run)
    page, reads = visitor.page, list[str]()

    def note(request: Request) -> None:
        if request.url.endswith("/ReadLines"):
            reads.append(request.url)

    page.on("request", note)
    await visitor.open_run(run, "?tab=logs")
    log = page.get_by_role("log", name="Log")
    await expect(log.get_by_text(f"line {LINES}", exact=True)).to_be_visible(timeout=WITHIN)
    assert await log.locator(".log-line").count() < MOST_ROWS
    # Firefox has no element that is higher than 17.8 million pixels.
    assert await log.evaluate("(box) => box.scrollHeight") < 10_000_000
    assert len(reads) < 6, len(reads)

    await page.get_by_label("Find in the log").fill("NEEDLE")
    await expect(page.get_by_role("status").filter(has_text="1 of 1")).to_be_visible(timeout=WITHIN)
    await expect(log.get_by_text("the needle")).to_be_visible(timeout=WITHIN)

    await visitor.open_run(run, f"?tab=logs&line={LINES // 2}")
    await expect(log.get_by_text(f"line {LINES // 2}", exact=True)).to_be_visible(timeout=WITHIN)
    await log.focus()
    await page.keyboard.press("Control+Home")
    await expect(log.get_by_text("line 1", exact=True)).to_be_visible(timeout=WITHIN)
    await page.keyboard.press("Control+End")
    await expect(log.get_by_text(f"line {LINES}", exact=True)).to_be_visible(timeout=WITHIN)
    assert len(reads) < 20, len(reads)


async def test_line_of_a_megabyte_is_shown_in_pieces(visitor: Visitor, flyte: Flyte) -> None:
    run = flyte("run", "--follow", "talking.py", "odd").run
    await visitor.open_run(run, "?tab=logs")
    log = visitor.page.get_by_role("log", name="Log")
    await expect(log.get_by_text("no newline at the end")).to_be_visible(timeout=WITHIN)
    await log.get_by_role("button", name="Show all 16,384 characters").first.click()
    assert await visitor.examine("long lines") == []


async def test_log_with_markup_and_control_characters_is_text(
    visitor: Visitor, flyte: Flyte, tmp_path: Path
) -> None:
    source = tmp_path / "lines"
    source.write_text(HOSTILE)
    run = flyte("run", "--follow", "talking.py", "copy_out", "--source", str(source)).run
    await visitor.open_run(run, "?tab=logs")
    log = visitor.page.get_by_role("log", name="Log")
    await expect(log.get_by_text("<script>document.title='taken'</script>")).to_be_visible(
        timeout=WITHIN
    )
    await expect(log.get_by_text("<img src=x")).to_be_visible()
    await expect(log.get_by_role("link")).to_have_count(1)  # no javascript: among them
    # What turns the direction of a line turns nothing outside of it.
    isolated = await log.locator(".log-text").first.evaluate(
        "(e) => getComputedStyle(e).unicodeBidi"
    )
    assert isolated in {"isolate", "plaintext"}
    await expect(visitor.page).to_have_title(f"✓ copy_out · {run} · Volary")


async def test_page_keeps_nothing_of_streams_that_are_cut_again_and_again(
    visitor: Visitor, stack: Stack, flyte: Flyte, tmp_path: Path
) -> None:
    run = flyte("run", "gated.py", "main", "--place", str(tmp_path), "--children", "2").run
    port = int(stack.endpoint.rpartition(":")[2])
    session = await visitor.context.new_cdp_session(visitor.page)
    await session.send("Performance.enable")
    async with asyncio.TaskGroup() as tasks:
        network = Proxy(("127.0.0.1", port), tasks)
        async with network.running():
            path = project_path(f"runs/{run}")
            await visitor.page.goto(f"http://localhost:{network.port}{path}")
            await visitor.expect_state("running")
            await _cut(visitor, network, 5)
            before = await _sizes(session)
            await _cut(visitor, network, 25)
            after = await _sizes(session)
            (tmp_path / "gate").touch()
            await visitor.expect_state("succeeded")
            await visitor.page.goto("about:blank")
    visitor.faults.clear()  # of the requests without a network
    assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] + 1_500_000, (before, after)
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 5, (before, after)
    assert after["Nodes"] <= before["Nodes"] + 100, (before, after)


async def _cut(visitor: Visitor, network: Proxy, times: int) -> None:
    for _ in range(times):
        async with visitor.page.expect_response("**/WatchTree", timeout=WITHIN):  # another stream
            network.cut()
        await expect(visitor.page.get_by_text("live", exact=True)).to_be_visible(timeout=WITHIN)


async def _sizes(session: CDPSession) -> dict[str, float]:
    await session.send("HeapProfiler.collectGarbage")
    answer = await session.send("Performance.getMetrics")
    return {each["name"]: each["value"] for each in answer["metrics"]}


async def test_run_that_is_deleted_while_it_is_open_is_said_to_be_gone(
    built_console: Path, own_stack: Stack, tmp_path: Path
) -> None:
    # On a stack of its own: reports of actions without a run end the session of the cluster.
    del built_console
    run = Flyte(own_stack, tmp_path / "home")(
        *("run", "gated.py", "main", "--place", str(tmp_path), "--children", "2")
    ).run
    async with chromium() as browser, visit(browser, own_stack.url, tmp_path) as visitor:
        await visitor.open_run(run)
        await visitor.expect_state("running")
        connection = await asyncpg.connect(superuser_url(own_stack))
        await connection.execute("DELETE FROM runs WHERE run = $1", run)
        await connection.close()
        await visitor.expect_text("not live: there is nothing here that you may see")
        await visitor.expect_state("running")  # the last that it knows stays readable
        assert visitor.faults == []
