"""Commands of the platform API: over TLS with an API key, and straight on the database."""

import asyncio
import base64
import os
import pty
from collections.abc import Mapping
from pathlib import Path

import pytest

from controlplane.core.audit import AuditRecord, render_json_line
from controlplane.core.queues import QueueChange
from controlplane.store.database import Database
from controlplane.usecases.identity.audit import MAX_EXPORTED, Audit, record
from controlplane.usecases.queues import Queues
from shared.kit.clock import SystemClock
from tests.factories import ORG
from tests.integration.api.client import DOMAIN, PROJECT, open_api
from tests.integration.api.requests import create_run
from tests.integration.cli.program import OPERATOR, Program, program, service
from tests.integration.cli.world import Person, finish
from tests.running import until

__all__ = ["program", "service"]

PACKAGE = "/volary.platform.v1."


READS: list[tuple[str, str]] = [
    ("cluster list", "clusters"),
    ("cluster enrolments", "enrolments"),
    ("pool list", "pools"),
    ("queue list", "queues"),
    ("domain list", "domains"),
    ("domain show development", "domain"),
    ("settings show", "settingsRecord"),
    ("settings show --own", "settingsRecord"),
    ("notification list", "deliveries"),
    ("role list", "roles"),
    ("role permissions", "permissions"),
    ("role bindings", "roleBindings"),
    ("member list", "members"),
    ("invitation list", "invitations"),
    ("email-domain list", "emailDomains"),
    ("identity-provider list", "identityProviders"),
    ("service-account list", "serviceAccounts"),
    ("apikey list", "apiKeys"),
    ("session list", "sessions"),
    ("org list", "orgs"),
    ("audit list", "records"),
    ("org show", "org"),
    ("cluster show local", "cluster"),
    ("queue show gpu", "queue"),
    ("role show reader", "role"),
    ("audit verify", "complete"),
]


async def test_agent_is_admitted_and_revoked_by_commands(program: Program) -> None:
    made = await program.json("cluster", "create", "c2", "--pool", "gpus")
    assert len(made["joinToken"]) == 43
    again = await program.run("cluster", "create", "c2")
    assert "cluster c2 exists" in again.err
    shown = await program.run("cluster", "join-token", "c2", "--auto-accept")
    assert "Join token of c2, for one agent, until" in shown.out
    listed = await program.json("cluster", "enrolments", "c2")
    assert [each["state"] for each in listed["enrolments"]] == ["open", "open"]
    refused = await program.run("cluster", "accept", "c2")
    assert "waiting agent of cluster c2 not found" in refused.err
    asked = await program.run("cluster", "revoke", "c2")
    assert "Give --yes" in asked.err
    await program.run("cluster", "revoke", "c2", "--yes")
    assert (await program.json("cluster", "enrolments", "c2"))["enrolments"] == []
    assert "Give --yes" in (await program.run("cluster", "delete", "c2")).err
    deleted = await program.run("cluster", "delete", "c2", "--yes")
    assert "c2 is deleted; its agent is refused." in deleted.out


ON_THE_DATABASE = {
    "cluster list",
    "domain list",
    "settings show",
    "pool list",
    "queue show gpu",
    "role bindings",
    "apikey list",
    "audit list",
    "audit verify",
}
"""Commands that a test runs both ways; each takes a second to start there."""


async def make_things(program: Program) -> Mapping[str, str]:
    """Make one of each by commands; every answer is JSON that names what was made."""
    queue = await program.json("queue", "set", "gpu", "--pool", "gpus", "--depth", "5")
    assert (queue["queue"]["pool"], queue["queue"]["depth"]) == ("gpus", 5)
    role = await program.json("role", "create", "reader", "--permission", "run:read")
    assert role["role"]["permissions"] == ["run:read"]
    role = await program.json("role", "update", "reader", "--description", "Reads")
    assert role["role"]["description"] == "Reads"
    account = (await program.json("service-account", "create", "ci"))["serviceAccount"]["id"]
    key = await program.json("apikey", "create", account, "--expires-in", "720h")
    assert key["secret"]["apiKey"]
    bound = await program.json("role", "bind", "reader", "--service-account", account)
    invited = await program.json("invitation", "create", "--role", "viewer", "--lifetime", "2h")
    assert invited["link"].startswith("https://volary.example/join?")
    renamed = await program.json("org", "update", "--display-name", "Acme")
    assert renamed["org"]["displayName"] == "Acme"
    moved = await program.json("cluster", "move", "local", "--pool", "gpus")
    assert moved["cluster"]["pool"] == "gpus"
    drained = await program.json("cluster", "drain", "local")
    assert drained["drain"]["cluster"]["state"] == "draining"
    return {
        "account": account,
        "key": key["apiKey"]["id"],
        "binding": bound["roleBinding"]["id"],
        "invitation": invited["invitation"]["id"],
    }


async def test_commands_answer_the_same_over_the_api_and_on_the_database(
    program: Program, database_url: str
) -> None:
    made = await make_things(program)
    shows = [
        (f"service-account show {made['account']}", "serviceAccount"),
        (f"apikey show {made['key']}", "apiKey"),
    ]
    direct = Program(program.service, program.person)
    direct.environment = {"VOLARY_DATABASE_URL": database_url, "VOLARY_ORG": ORG}
    for command, field in [*READS, *shows]:
        answer = await program.json(*command.split())
        assert field in answer
        if command in ON_THE_DATABASE:
            assert await direct.json(*command.split()) == answer, command
        table = await program.run(*command.split())
        assert table.code == 0, table.err
        assert table.out.strip(), command


async def test_things_are_ended_by_commands(program: Program) -> None:
    made = await make_things(program)
    for command in (
        f"apikey rotate {made['key']} --overlap 1h",
        f"apikey revoke {made['key']} --yes",
        f"role unbind {made['binding']} --yes",
        f"invitation withdraw {made['invitation']}",
        f"service-account update {made['account']} --disable",
        f"service-account delete {made['account']} --yes",
        "role delete reader --yes",
        "queue delete gpu",
        "cluster uncordon local",
        "cluster cordon local",
        "cluster drain local --deadline 0s",
    ):
        answer = await program.run(*command.split(), "--output", "json")
        expected = 3 if "--deadline" in command else 0  # the cluster has no agent to attest
        assert answer.code == expected, f"{command}: {answer.err}"
    accounts = await program.json("service-account", "list")
    assert accounts == {"serviceAccounts": []}


async def test_api_key_is_printed_alone_for_a_variable(program: Program) -> None:
    account = (await program.json("service-account", "create", "ci"))["serviceAccount"]["id"]
    done = await program.run("apikey", "create", account)
    [key] = done.out.splitlines()
    host, client_id, secret, org = base64.b64decode(key).decode().split(":")
    assert (host, org) == ("volary.example", ORG)
    assert client_id.startswith("ak-")
    assert secret not in done.err


async def test_identity_provider_is_added_disabled_and_removed(
    program: Program, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary-7d20\n")
    create = ["identity-provider", "create", "https://login.acme.example", "--client-id", "volary"]
    made = await program.run(*create, "--client-secret-file", str(secret), "--role", "viewer")
    assert made.code == 0, made
    assert "https://volary.example/login/callback" in made.out
    [provider] = (await program.json("identity-provider", "list"))["identityProviders"]
    assert (provider["clientId"], provider["role"]) == ("volary", "viewer")
    disabled = await program.run("identity-provider", "update", provider["id"], "--disabled")
    assert "is disabled" in disabled.out
    removed = await program.run("identity-provider", "delete", provider["id"], "--yes")
    assert "was removed" in removed.out
    assert "canary" not in made.out + str(provider) + disabled.out + removed.out


async def test_long_list_is_read_in_pages(program: Program, database: Database) -> None:
    queues = Queues(database, SystemClock())
    for number in range(405):
        await queues.create(OPERATOR, f"q{number:03}", QueueChange())
    path = f"{PACKAGE}QueueService/ListQueues"
    listed = await program.json("queue", "list")
    assert [each["name"] for each in listed["queues"]] == [f"q{number:03}" for number in range(405)]
    assert program.service.requests[path] == 3
    table = await program.run("queue", "list")
    assert len(table.out.splitlines()) == 406


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("cluster show nowhere", 1, "cluster nowhere not found; there is local"),
        ("member show x", 1, "user_id: 'x' is not an id"),
        ("role bind reader", 1, "name one of --user, --service-account and --group"),
        ("service-account update x", 1, "nothing to change"),
        ("cluster list --org globex", 1, "the API key is of org acme, not globex"),
        ("role delete reader", 1, "Give --yes, because there is no terminal to ask."),
        ("explain a/b/c/d/e", 1, "is not a run"),
        ("cluster list --output yaml", 2, "is not one of 'table', 'json'"),
    ],
)
async def test_refused_command_says_why_in_one_line(
    program: Program, command: str, code: int, message: str
) -> None:
    done = await program.run(*command.split())
    assert (done.code, done.out) == (code, "")
    assert message in done.err.splitlines()[-1]


async def test_caller_without_the_permission_is_refused(program: Program) -> None:
    program.service.world.directory.members.clear()
    done = await program.run("cluster", "list")
    assert done.code == 4
    assert "no member of org acme" in done.err


async def test_program_that_names_both_a_database_and_a_control_plane_is_asked_to_choose(
    program: Program, database_url: str
) -> None:
    both = {"VOLARY_DATABASE_URL": database_url, "VOLARY_ORG": ORG}
    assert "are both set" in (await program.run("cluster", "list", **both)).err
    for option in (("--url", program.service.address), ("--database-url", database_url)):
        done = await program.run("cluster", "list", *option, **both)
        assert done.code == 0, done.err


async def test_key_file_is_read_instead_of_the_variable(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(program.environment.pop("VOLARY_API_KEY") + "\n")
    assert (await program.run("cluster", "list", "--api-key-file", str(file))).code == 0
    file.write_text("\n")
    done = await program.run("cluster", "list", "--api-key-file", str(file))
    assert "has no API key" in done.err


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
async def test_destructive_command_asks_at_a_terminal(
    program: Program, answer: str, code: int
) -> None:
    await program.json("role", "create", "reader", "--permission", "run:read")
    terminal, stdin = pty.openpty()
    try:
        process = await program.person.start_with(
            stdin, ["role", "delete", "reader"], program.environment
        )
        os.write(terminal, f"{answer}\n".encode())
        done = await finish(process)
    finally:
        os.close(terminal)
        os.close(stdin)
    assert done.code == code, done.err
    assert "Delete role reader?" in done.err
    assert (await program.run("role", "show", "reader")).code == 1 - code


async def test_interrupted_command_ends_with_130(program: Program) -> None:
    path = f"{PACKAGE}ClusterService/ListClusters"
    program.service.held[path] = asyncio.Event()
    process = await program.person.start("cluster", "list", **program.environment)
    await until(lambda: program.service.requests[path] == 1, "the command has called")
    process.send_signal(2)
    done = await finish(process)
    program.service.held[path].set()
    assert (done.code, done.err) == (130, "Interrupted.\n")


async def test_run_is_explained_without_a_login_where_there_are_none(
    database_url: str, tmp_path: Path
) -> None:
    person = Person(tmp_path / "home", tmp_path)
    async with open_api(database_url, tmp_path / "blobs") as api:
        await api.runs.create_run(create_run())
        target = f"{PROJECT}/{DOMAIN}/r1"
        by_url = await person.run("explain", target, "--output", "json", VOLARY_URL=api.url)
        direct = await person.run(
            *("explain", target, "--output", "json", "--org", ORG, "--database-url", database_url)
        )
        table = await person.run("explain", target, VOLARY_URL=api.url)
    assert by_url.json["explanation"]["reason"] == "no_cluster"
    [pending] = by_url.json["actions"]
    assert pending == direct.json["actions"][0]
    assert pending["action"] == "a0"
    assert f"{target}/a0: queued, attempt 1" in table.out
    assert "PENDING  ATTEMPT" in table.out


async def test_org_requires_its_own_identity_provider_by_a_command(program: Program) -> None:
    flag = "--require-identity-provider"
    refused = await program.run("org", "update", flag)
    assert refused.code == 1
    assert "has no enabled identity provider" in refused.err
    refused = await program.run("org", "update")
    assert "nothing to change; give --display-name or --require-identity-provider" in refused.err
    create = ["identity-provider", "create", "https://login.acme.example", "--client-id", "volary"]
    await program.json(*create)
    shown = await program.run("org", "update", flag)
    assert "by the org's own identity providers only" in shown.out
    assert (await program.json("org", "show"))["org"]["requiresOwnProvider"] is True
    shown = await program.run("org", "update", "--no-require-identity-provider")
    assert "by any identity provider" in shown.out


async def test_audit_log_is_exported_whole_with_an_api_key_as_from_the_database(
    program: Program, database: Database
) -> None:
    async with database.for_org(ORG) as tx:
        for number in range(MAX_EXPORTED + 5):
            detail = {"text": 'é\n"quoted"'}
            target = f"thing:{number}"
            await record(tx, SystemClock(), OPERATOR, "test.act", target, detail=detail)
    audit, after = Audit(database), 0
    expected: list[AuditRecord] = []
    while not (page := await audit.export_page(OPERATOR, after=after)).complete:
        expected += page.records
        after = expected[-1].number
    expected += page.records
    exported = await program.run("audit", "export")
    assert exported.out.splitlines() == [render_json_line(each) for each in expected]
    assert len(expected) > MAX_EXPORTED
    last = await program.run("audit", "export", "--after", str(len(expected) - 1))
    assert last.out.splitlines() == [render_json_line(expected[-1])]
