"""Commands of quotas: an admin sets a project's, the operator the org's on the database."""

from tests.factories import ORG
from tests.integration.api.client import PROJECT
from tests.integration.cli.program import Program, program, service

__all__ = ["program", "service"]


async def test_quotas_are_set_shown_and_listed(program: Program, database_url: str) -> None:
    refused = await program.run("quota", "set", "--triggers", "5")
    assert refused.code == 1
    assert "set by the operator" in refused.err
    of_org = ("quota", "set", "--actions-per-day", "100", "--requests-per-second", "1000")
    direct = ("--database-url", database_url, "--org", ORG)
    done = await program.person.run(*of_org, *direct)
    assert done.code == 0, done.err
    over = await program.run("quota", "set", "--project", PROJECT, "--actions-per-day", "101")
    assert "101 is over the org's limit, 100" in over.err
    nothing = await program.run("quota", "set", "--project", PROJECT)
    assert nothing.code == 2
    await program.run("quota", "set", "--project", PROJECT, "--actions-per-day", "100")
    shown = await program.run("quota", "show", "--project", PROJECT)
    assert shown.out.splitlines()[-1].split() == [PROJECT, "0", "100", "0", "0", "0"]
    listed = await program.json("quota", "list")
    assert [each.get("actionsPerDay") for each in listed["quotas"]] == ["100", "100"]
