"""A person compares two runs of a task, one of which still runs."""

from pathlib import Path

from playwright.async_api import expect

from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, project_path


async def test_console_compares_a_run_that_ended_with_one_that_still_runs(
    visitor: Visitor, flyte: Flyte, tmp_path: Path
) -> None:
    places = [tmp_path / name for name in ("ended", "running")]
    for place in places:
        place.mkdir()
    (places[0] / "gate").touch()
    ended, running = (
        flyte("run", "gated.py", "main", "--place", str(place), "--children", children).run
        for place, children in zip(places, ("1", "2"), strict=True)
    )
    await visitor.open(project_path(f"compare?a={ended}&b={running}"))

    facts = visitor.page.get_by_role("region", name="Facts")
    await expect(facts.get_by_role("row").filter(has_text="inputs.children")).to_contain_text(
        "1", timeout=WITHIN
    )
    state = facts.get_by_role("row").filter(has_text="state")
    await expect(state).to_contain_text("running", timeout=WITHIN)
    # The names of children are made from their inputs, which have the place: none is in both.
    actions = visitor.page.get_by_role("region", name="Actions")
    await expect(actions.get_by_text("not there")).to_have_count(3, timeout=WITHIN)
    assert await visitor.examine("compare") == []

    (places[1] / "gate").touch()
    await expect(state).to_have_count(0, timeout=WITHIN)  # both have succeeded
    await expect(facts.get_by_role("row").filter(has_text="inputs.children")).to_be_visible()


async def test_console_names_the_compared_run_that_does_not_exist(
    visitor: Visitor, flyte: Flyte
) -> None:
    run = flyte("run", "hello.py", "main").run
    await visitor.open(project_path(f"compare?a={run}&b=no-such-run"))
    missing = visitor.page.get_by_role("region", name="Run no-such-run")
    await expect(missing).to_contain_text("There is nothing here", timeout=WITHIN)
    await expect(visitor.page.get_by_role("region", name=f"Run {run}")).to_have_count(0)
