"""A person looks at what a run wrote, ran and returned, and finds things by their name."""

import re
from datetime import timedelta
from pathlib import Path

from playwright.async_api import expect

from tests.large_runs import begin_earlier
from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, project_path, superuser_url
from tests.system.stack import Stack


async def test_files_of_an_attempt_are_listed_and_downloaded_and_its_code_is_read(
    visitor: Visitor, flyte: Flyte
) -> None:
    run = flyte("run", "--follow", "files.py", "write", "--text", "kept <b>here</b>").run
    page = visitor.page
    await visitor.open_run(run, "?tab=files")
    written = page.get_by_role("table", name="Written files")
    await expect(written.get_by_role("row").filter(has_text="outputs.pb")).to_be_visible(
        timeout=WITHIN
    )
    async with page.expect_download() as downloaded:
        await written.get_by_role("button", name=re.compile("outputs.pb")).click()
    assert b"note.txt" in Path(await (await downloaded.value).path()).read_bytes()

    await page.get_by_role("button", name="files.py", exact=True).click()
    await visitor.expect_text("after a journey through files and a directory")
    assert await visitor.examine("files") == []
    await visitor.button("All files").click()

    await visitor.choose_tab("In / Out")
    async with page.expect_download() as downloaded:
        await page.get_by_role("button", name=re.compile("^Download: .*note.txt")).click()
    assert Path(await (await downloaded.value).path()).read_text() == "kept <b>here</b>"


async def test_long_value_is_cut_until_it_is_asked_for(visitor: Visitor, flyte: Flyte) -> None:
    run = flyte("run", "--follow", "values.py", "echo", "--text", "x" * 50_000 + " the end").run
    await visitor.open_run(run, "?tab=data")
    inputs = visitor.page.get_by_role("region", name="Inputs")
    await inputs.get_by_role("button", name="Show all 50,008 characters").click(timeout=WITHIN)
    await expect(inputs).to_contain_text("the end")


async def test_search_finds_runs_tasks_and_clusters_by_a_part_of_their_name(
    visitor: Visitor, flyte: Flyte
) -> None:
    del flyte  # it has deployed the tasks
    await visitor.open(project_path("runs"))
    option = visitor.page.get_by_role("option")
    await expect(visitor.page.get_by_role("heading", level=1)).to_be_visible(timeout=WITHIN)
    await visitor.page.keyboard.press("Control+k")
    field = visitor.page.get_by_role("combobox", name="Go to anything")
    await field.fill("ECHO")
    await expect(option.filter(has_text="values.echo")).to_be_visible(timeout=WITHIN)
    await field.fill("loca")
    await option.filter(has_text="cluster").click(timeout=WITHIN)
    await expect(visitor.page).to_have_url(re.compile("/v2/admin/clusters/local$"))


async def test_timeline_folds_the_time_in_which_a_run_only_waits(
    visitor: Visitor, stack: Stack, flyte: Flyte
) -> None:
    run = flyte("run", "approval.py", "main", "--kind", "bool").run
    await visitor.open_run(run)
    await expect(visitor.row("condition")).to_be_visible(timeout=WITHIN)
    await begin_earlier(superuser_url(stack), run, timedelta(hours=2))
    await visitor.open_run(run, "?view=timeline")
    folded = visitor.page.get_by_title(re.compile(r"in which nothing ran but what waits"))
    await expect(folded).to_have_count(1, timeout=WITHIN)
    assert await visitor.examine("folded timeline") == []
    await visitor.row("condition").click()
    await visitor.button("Yes").click()
    await visitor.expect_state("succeeded")
