"""A person reads how long runs are kept, sees what holds one, and deletes one that nothing holds."""

from pathlib import Path

from playwright.async_api import expect

from tests.system.commands import Flyte
from tests.system.console.people import Owner, Team, call
from tests.system.console.visitor import WITHIN, Visitor


async def test_ended_run_says_that_it_is_final_and_is_deleted_after_its_name_is_typed(
    visitor: Visitor, flyte: Flyte
) -> None:
    run = flyte("run", "hello.py", "main", "--name", "gone").run
    await visitor.open_run(run)
    await visitor.expect_state("succeeded")
    await expect(visitor.page.get_by_text("final", exact=True)).to_be_visible()
    await visitor.button("Retention").click()
    dialog = visitor.page.get_by_role("dialog", name=f"Retention of {run}")
    await expect(dialog).to_contain_text("never: runs are kept for ever")
    await expect(dialog).to_contain_text("Nothing holds it")
    assert await visitor.examine("retention of a run") == []

    await visitor.button("Delete now …").click()
    question = visitor.page.get_by_role("dialog", name=f"Delete {run} with its data?")
    await expect(question.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    await question.get_by_label(f"Type {run} to go on").fill(run)
    await question.get_by_role("button", name="Delete", exact=True).click()
    await expect(question).to_have_count(0)
    await expect(dialog).to_contain_text("Being deleted since", timeout=WITHIN)


async def test_member_reads_for_how_long_data_is_kept(team: Team, tmp_path: Path) -> None:
    member = await team.member("viewer", tmp_path)
    async with member.browser(tmp_path) as person:
        await person.page.goto(f"{member.url}/v2/admin/retention")
        kept = person.page.get_by_role("table", name="Times to keep data")
        await expect(kept.get_by_role("row").filter(has_text="Ended runs")).to_contain_text(
            "for ever"
        )
        await expect(kept.get_by_role("row").filter(has_text="Cached results")).to_contain_text(
            "after the last use"
        )


async def test_secrets_of_a_project_are_listed_beyond_the_first_page(
    owner: Owner, tmp_path: Path
) -> None:
    async with owner.browser(tmp_path) as person:
        page = person.page
        await page.goto(f"{owner.url}/v2")
        create = """async ([prefix, count, scope]) => {
          const one = async (number) => {
            const id = {...scope, name: prefix + String(number).padStart(3, "0")};
            const answer = await fetch("/flyteidl2.secret.SecretService/CreateSecret", {
              method: "POST", headers: {"content-type": "application/json"},
              body: JSON.stringify({id, secretSpec: {stringValue: "v"}}),
            });
            if (answer.status !== 200) throw new Error(await answer.text());
          };
          for (let at = 0; at < count; at += 20)
            await Promise.all(Array.from({length: Math.min(20, count - at)}, (_, i) => one(at + i)));
        }"""
        project = {"project": "flytesnacks", "domain": "development"}
        await page.evaluate(create, ["ORG_", 103, {}])
        await page.evaluate(create, ["OWN_", 2, project])
        await page.goto(f"{owner.url}/v2/domain/development/project/flytesnacks/secrets")
        table = page.get_by_role("table", name="Secrets")
        await expect(table.get_by_text("ORG_099", exact=True)).to_be_visible(timeout=WITHIN)
        await expect(table.get_by_text("OWN_001", exact=True)).to_have_count(0)
        await page.get_by_role("button", name="Show more").click()
        await expect(table.get_by_text("ORG_102", exact=True)).to_be_visible(timeout=WITHIN)
        await expect(table.get_by_text("OWN_001", exact=True)).to_be_visible()
        for name in ("ORG_000", "OWN_001"):
            await expect(table.get_by_text(name, exact=True)).to_have_count(1)
        delete = "flyteidl2.secret.SecretService/DeleteSecret"
        for number in range(103):  # the stack is shared
            await call(page, delete, {"id": {"name": f"ORG_{number:03}"}})
        for number in range(2):
            await call(page, delete, {"id": {**project, "name": f"OWN_{number:03}"}})
