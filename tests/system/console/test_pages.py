"""Every page of the console: what axe finds, and whether it fits a narrow window."""

from playwright.async_api import expect

from tests.system.commands import Flyte
from tests.system.console.visitor import WITHIN, Visitor, project_path

PAGES = {
    "home": "/v2",
    "runs": project_path("runs"),
    "tasks": project_path("tasks"),
    "task": project_path("tasks/hello.main"),
    "launch": project_path("launch?task=values.main"),
    "compare": project_path("compare"),
    "triggers": project_path("triggers"),
    "tracked-runs": project_path("tracked-runs"),
    "artifacts": project_path("artifacts"),
    "secrets": project_path("secrets"),
    "settings": project_path("settings"),
    "clusters": "/v2/admin/clusters",
    "cluster": "/v2/admin/clusters/local",
    "queues": "/v2/admin/queues",
    "join-tokens": "/v2/admin/join-tokens",
    "members": "/v2/admin/members",
    "roles": "/v2/admin/roles",
    "api-keys": "/v2/admin/api-keys",
    "identity-providers": "/v2/admin/identity-providers",
    "notifications": "/v2/admin/notifications",
    "notification-rules": "/v2/admin/notifications?tab=rules",
    "org-settings": "/v2/admin/settings",
    "settings-of-a-domain": "/v2/admin/settings?of=development",
    "usage": "/v2/admin/usage",
    "retention": "/v2/admin/retention",
    "audit": "/v2/admin/audit",
    "me": "/v2/me",
}


async def test_pages_are_accessible_and_fit_narrow_windows(visitor: Visitor, flyte: Flyte) -> None:
    del flyte  # it has deployed the tasks
    found = []
    for name, path in PAGES.items():
        await visitor.open(path)
        await expect(visitor.page.get_by_role("heading", level=1)).to_be_visible(timeout=WITHIN)
        await expect(visitor.page.get_by_role("status", name="Loading")).to_have_count(
            0, timeout=WITHIN
        )
        found += await visitor.examine(name)
    assert not found, "\n".join(found)


async def test_missing_things_are_said_in_words(visitor: Visitor, flyte: Flyte) -> None:
    del flyte
    await visitor.open_run("no-such-run")
    await expect(
        visitor.page.get_by_role("heading", name="There is nothing here that you may see")
    ).to_be_visible(timeout=WITHIN)
    await visitor.open("/v2/domain/development/project/flytesnacks/nonsense")
    await visitor.expect_text("There is no such page")
    await visitor.open(project_path("runs?phase=nonsense&q=nothing-is-called-so"))
    await visitor.expect_text("has a filter that cannot be: phase")
    await visitor.button("Clear the filters").click()
    assert "nothing-is-called-so" not in visitor.page.url
