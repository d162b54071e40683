"""A person chooses what the list of runs shows, keeps it, exports it, and aborts many runs at once."""

import csv
import re
from pathlib import Path

from playwright.async_api import expect

from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, project_path


async def test_columns_of_the_list_are_chosen_and_kept(visitor: Visitor, flyte: Flyte) -> None:
    flyte("run", "--follow", "hello.py", "main", "--name", "you")
    page, labels = visitor.page, visitor.page.get_by_role("columnheader", name="Labels")
    await visitor.open(project_path("runs"))
    await expect(labels).to_have_count(1, timeout=WITHIN)
    await page.get_by_text("Columns", exact=True).click()
    await page.get_by_label("Labels", exact=True).uncheck()
    await expect(labels).to_have_count(0)
    assert "cols=" in page.url
    assert await visitor.examine("columns") == []
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Source", exact=True)).to_be_hidden()

    await visitor.open(project_path("runs"))
    await expect(page.get_by_role("columnheader", name="Error")).to_have_count(1, timeout=WITHIN)
    await expect(labels).to_have_count(0)
    # A link says more than what was chosen last.
    await visitor.open(project_path("runs?cols=labels"))
    await expect(labels).to_have_count(1, timeout=WITHIN)
    await expect(page.get_by_role("columnheader", name="Error")).to_have_count(0)


async def test_filter_is_saved_as_a_view_and_shown_again(visitor: Visitor, flyte: Flyte) -> None:
    failed = flyte("run", "--follow", "failing.py", "main", "--words", "x").run
    ended = flyte("run", "--follow", "hello.py", "main", "--name", "you").run
    page, row = visitor.page, visitor.page.get_by_role("row")
    await visitor.open(project_path("runs?phase=failed"))
    await expect(row.filter(has_text=failed)).to_have_count(1, timeout=WITHIN)
    await page.get_by_text("Views", exact=True).click()
    await page.get_by_role("button", name=re.compile("^Save what is shown")).click()
    await visitor.field("Name of the view").fill("<b>broken</b>")
    await visitor.button("Save").click()
    await visitor.button("Clear").click()
    await expect(row.filter(has_text=ended)).to_have_count(1, timeout=WITHIN)

    await visitor.open(project_path("runs"))
    await page.get_by_text("Views", exact=True).click()
    await visitor.button("<b>broken</b>").click()
    await expect(page).to_have_url(re.compile("phase=failed"))
    await expect(row.filter(has_text=ended)).to_have_count(0, timeout=WITHIN)
    await page.get_by_role("button", name="Forget the view <b>broken</b>").click()
    await expect(visitor.button("<b>broken</b>")).to_have_count(0)


async def test_list_is_exported_as_csv(visitor: Visitor, flyte: Flyte) -> None:
    run = flyte("run", "--follow", "hello.py", "main", "--name", "you").run
    await visitor.open(project_path(f"runs?q={run}"))
    await expect(visitor.row(run)).to_be_visible(timeout=WITHIN)
    async with visitor.page.expect_download() as downloaded:
        await visitor.button("CSV").click()
    file = await downloaded.value
    assert file.suggested_filename == "runs-flytesnacks-development.csv"
    text = Path(await file.path()).read_text("utf-8-sig")
    [row] = csv.DictReader(text.splitlines())
    assert (row["run"], row["state"], row["task"]) == (run, "succeeded", "hello.main")
    assert float(row["ran_s"]) > 0


async def test_runs_are_chosen_together_and_aborted(
    visitor: Visitor, flyte: Flyte, tmp_path: Path
) -> None:
    gated = ("run", "gated.py", "main", "--place", str(tmp_path), "--children", "2")
    runs = [flyte(*gated).run for _ in range(2)]
    ended = flyte("run", "--follow", "hello.py", "main", "--name", "you").run
    await visitor.open(project_path("runs"))
    for run in (*runs, ended):
        await visitor.page.get_by_label(f"Choose {run}").check(timeout=WITHIN)
    await visitor.button("Abort").click()
    dialog = visitor.page.get_by_role("dialog", name="Abort 3 runs?")
    await dialog.get_by_label("Reason").fill("both are held")
    await dialog.get_by_role("button", name="Abort", exact=True).click()
    for run in runs:
        await expect(visitor.row(run)).to_contain_text("aborted", timeout=WITHIN)
        await expect(visitor.row(run)).to_contain_text("both are held")
    await expect(visitor.row(ended)).to_contain_text("succeeded")
    await expect(dialog).to_have_count(0)

    await visitor.page.get_by_label("Choose all that are shown").check()
    await visitor.expect_text("chosen")
