"""A person follows runs in the console, finds why they fail or wait, and acts on them."""

import asyncio
from pathlib import Path

from playwright.async_api import expect

from tests.faults.proxy import Proxy
from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, project_path
from tests.system.stack import Stack
from tests.system.test_operating import Operator


async def test_console_follows_a_run_from_the_printed_link_to_its_end(
    visitor: Visitor, flyte: Flyte, tmp_path: Path
) -> None:
    run = flyte("run", "gated.py", "main", "--place", str(tmp_path), "--children", "2").run
    await visitor.open_run(run)
    await visitor.expect_state("running")
    tree = visitor.page.get_by_role("treegrid", name="Actions")
    await expect(tree.get_by_role("row")).to_have_count(3, timeout=WITHIN)

    (tmp_path / "gate").touch()

    await visitor.expect_state("succeeded")
    await expect(visitor.page).to_have_title(f"✓ main · {run} · Volary")
    await visitor.choose_tab("In / Out")
    await visitor.expect_text("children")
    assert await visitor.examine("run") == []


async def test_console_shows_the_failed_attempts_error_and_log(
    visitor: Visitor, flyte: Flyte
) -> None:
    run = flyte("run", "retrying.py", "main", "--failures", "9").run
    await visitor.open_run(run)
    await visitor.expect_state("failed")
    # The error is on the first screen; its attempts and their logs are one click away.
    await expect(visitor.page.get_by_role("status").filter(has_text="in main")).to_be_visible()
    await visitor.button("Logs of attempt 2").click()
    await expect(visitor.page.get_by_role("combobox", name="attempt")).to_have_value("2")
    await expect(visitor.page.get_by_role("log", name="Log")).to_be_visible(timeout=WITHIN)
    assert "attempt=2" in visitor.page.url

    await visitor.choose_tab("Why")
    await expect(visitor.page.get_by_role("row").filter(has_text="running").first).to_be_visible()
    assert await visitor.examine("failed run") == []


async def test_console_launches_a_task_says_why_it_waits_and_aborts_it(
    visitor: Visitor, flyte: Flyte, stack: Stack
) -> None:
    del flyte  # it has deployed the task
    queue, run = "without-clusters", "launched-in-the-console"
    await visitor.open("/v2/admin/queues")
    await visitor.button("Create a queue").first.click()
    await visitor.field("Name").fill(queue)
    await visitor.field("Pool of clusters").fill("empty")
    await visitor.button("Save").click()
    await expect(visitor.row(queue)).to_contain_text("none: its work waits", timeout=WITHIN)
    history = visitor.page.get_by_role("region", name="Work over time")
    await history.get_by_label("Queue").select_option(queue)
    await expect(history).to_contain_text("It had no work in this time.", timeout=WITHIN)

    await visitor.open(project_path("launch?task=values.echo"))
    await visitor.field("text").fill("<img src=x onerror=alert(1)>")
    await visitor.page.get_by_text("More: name").click()
    await visitor.field("Name of the run").fill(run)
    await visitor.field("Queue").fill(queue)
    await visitor.field("Labels").fill("team=<b>vision</b>")
    await visitor.button("Run").click()

    await visitor.expect_state("queued")
    await visitor.expect_text("team=<b>vision</b>")
    await visitor.expect_text("pool empty")
    why = await asyncio.to_thread(Operator(stack).read, "explain", f"{run}/a0")
    await visitor.expect_text(why["explanation"]["message"])  # as ``volary explain`` says it
    await visitor.choose_tab("In / Out")
    await visitor.expect_text("<img src=x onerror=alert(1)>")

    await visitor.button("Abort").click()
    await visitor.field("Reason, for those who look later").fill("it waits for ever")
    dialog = visitor.page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Abort", exact=True).click()
    await visitor.expect_state("aborted")
    await visitor.choose_tab("Summary")
    await visitor.expect_text("it waits for ever")


async def test_condition_is_answered_on_the_page_of_its_run(visitor: Visitor, flyte: Flyte) -> None:
    run = flyte("run", "approval.py", "main", "--kind", "bool").run
    await visitor.open_run(run)
    await visitor.row("condition").click(timeout=WITHIN)
    await visitor.expect_text("Go on?")
    await visitor.button("Yes").click()
    await visitor.expect_state("succeeded")


async def test_report_cannot_reach_the_console(visitor: Visitor, flyte: Flyte) -> None:
    script = (
        "<script>try{top.document.title='taken'}catch(e){document.body.append('kept out')}</script>"
    )
    run = flyte("run", "--follow", "reporting.py", "main", "--title", script).run
    await visitor.open_run(run, "?tab=report")
    frame = visitor.page.frame_locator("iframe[title=Report]")
    await expect(frame.get_by_text("kept out")).to_be_visible(timeout=WITHIN)
    await expect(visitor.page).to_have_title(f"✓ main · {run} · Volary")
    visitor.faults.clear()  # the browser reports what it kept the report from


async def test_console_says_when_it_is_not_live_and_catches_up_by_itself(
    visitor: Visitor, stack: Stack, flyte: Flyte, tmp_path: Path
) -> None:
    run = flyte("run", "gated.py", "main", "--place", str(tmp_path), "--children", "2").run
    port = int(stack.endpoint.rpartition(":")[2])
    async with asyncio.TaskGroup() as tasks:
        network = Proxy(("127.0.0.1", port), tasks)
        async with network.running():
            path = project_path(f"runs/{run}")
            await visitor.page.goto(f"http://localhost:{network.port}{path}")
            await visitor.expect_state("running")
            network.refuses = True
            network.cut()
            await visitor.expect_text("reconnecting since")
            await visitor.expect_state("running")  # the last that it knows stays readable
            (tmp_path / "gate").touch()
            network.heal()
            await visitor.expect_state("succeeded")
            await visitor.page.goto("about:blank")
    visitor.faults.clear()  # of the requests without a network


async def test_console_is_used_by_the_keyboard_alone(visitor: Visitor, flyte: Flyte) -> None:
    run = flyte("run", "--follow", "nested.py", "main").run
    keyboard = visitor.page.keyboard
    await visitor.open(project_path("runs"))
    await expect(visitor.row(run)).to_be_visible(timeout=WITHIN)
    await keyboard.press("Control+k")
    await expect(visitor.page.get_by_role("combobox", name="Go to anything")).to_be_focused()
    await keyboard.type(run)
    await expect(visitor.page.get_by_role("option").filter(has_text=run)).to_be_visible(
        timeout=WITHIN
    )
    await keyboard.press("Enter")
    await visitor.expect_state("succeeded")
    await visitor.page.get_by_role("row").first.focus()
    await keyboard.press("ArrowDown")
    await keyboard.press("2")
    assert "tab=logs" in visitor.page.url
    assert "i=" in visitor.page.url
    await keyboard.press("?")
    dialog = visitor.page.get_by_role("dialog", name="Keys")
    await expect(dialog).to_contain_text("explain the action")
    await keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
