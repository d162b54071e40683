"""The page of a cluster shows what its agent's checks found."""

import re

from playwright.async_api import expect

from tests.system.console.visitor import WITHIN, Visitor


async def test_page_of_a_cluster_shows_the_findings_of_its_agent(visitor: Visitor) -> None:
    await visitor.open("/v2/admin/clusters/local")
    findings = visitor.page.get_by_role("table", name="Findings of its agent")
    await expect(findings).to_be_visible(timeout=WITHIN)
    clock = findings.get_by_role("row").filter(has_text="clock")
    await expect(clock).to_contain_text("ok")
    await expect(clock).to_contain_text("within 5 s of the control plane's")
    agent = visitor.page.get_by_role("region", name="Agent", exact=True)
    await expect(agent).to_contain_text(re.compile(r"volary-agent \d+\.\d+"))
    await expect(visitor.page.get_by_text("Unchanged since")).to_be_visible()
    assert not await visitor.examine("cluster with findings")
