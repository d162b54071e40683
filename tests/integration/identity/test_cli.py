"""``volary owner-link`` and ``volary audit``: an operator's way in, straight at the database."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from click.testing import CliRunner, Result

from controlplane.cli import main
from controlplane.core.errors import NotFoundError
from controlplane.core.identity import User
from controlplane.store.database import open_database
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.users import Users
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName
from tests.servers.postgres import DatabaseForTest


def volary(url: str, *arguments: str) -> Result:
    environment = {"VOLARY_DATABASE_URL": url, "VOLARY_ORG": "new"}
    return CliRunner().invoke(main, [*arguments], env=environment)


async def accept(url: str, token: SecretText) -> OrgName:
    database, clock = open_database(url), SystemClock()
    try:
        user: User = await Users(database, clock).log_in(
            "https://provider", token.reveal(), email="", email_verified=False, name="Ada"
        )
        return await Invitations(database, clock).accept(user, token)
    finally:
        await database.close()


def test_owner_link_creates_the_org_and_works_once(database_url: str) -> None:
    done = volary(
        database_url, "owner-link", "--public-url", "https://v.example", "--output", "json"
    )
    assert done.exit_code == 0, done.output
    link = urlsplit(json.loads(done.stdout)["link"])
    assert (link.netloc, link.path) == ("v.example", "/join")
    [token] = parse_qs(link.query)["invitation"]
    assert asyncio.run(accept(database_url, SecretText(token))) == "new"

    again = volary(database_url, "owner-link")
    assert "Open within 15 minutes to become an owner of org new:" in again.stdout
    with pytest.raises(NotFoundError, match="ask for a new one"):
        asyncio.run(accept(database_url, SecretText(f"{token}x")))


def test_org_is_deleted_by_its_name_and_restored_by_the_operator(database_url: str) -> None:
    assert volary(database_url, "owner-link").exit_code == 0
    asked = volary(database_url, "org", "delete", "new")
    assert asked.exit_code == 1
    assert "Delete org new, with all its runs" in asked.output
    wrong = volary(database_url, "org", "delete", "other", "--yes")
    assert (wrong.exit_code, "name: type new" in wrong.output) == (1, True)
    done = volary(database_url, "org", "delete", "new", "--yes")
    assert done.exit_code == 0, done.output
    assert "Org new is deleted. Your operator can restore it until 2" in done.output
    link = volary(database_url, "owner-link")
    assert (link.exit_code, "with `volary org restore`" in link.output) == (1, True)
    shown = json.loads(volary(database_url, "org", "show", "--output", "json").stdout)["org"]
    assert shown["deletedAt"] < shown["eraseAt"]
    restored = volary(database_url, "org", "restore")
    assert (restored.exit_code, restored.output) == (0, "Org new is restored.\n")
    again = volary(database_url, "org", "restore")
    assert (again.exit_code, "org new is not deleted" in again.output) == (1, True)


def test_claim_of_an_e_mail_domain_prints_the_record_to_set(database_url: str) -> None:
    assert volary(database_url, "owner-link").exit_code == 0
    done = volary(database_url, "email-domain", "claim", "corp.example", "--role", "viewer")
    assert done.exit_code == 0, done.output
    record, told = done.stdout.splitlines()
    assert record.startswith('TXT _volary-challenge.corp.example "volary-domain-verification=')
    assert told.endswith("then run `volary email-domain verify corp.example`.")
    listed = json.loads(volary(database_url, "email-domain", "claims", "--output", "json").stdout)
    [claim] = listed["claims"]
    assert record == f'TXT {claim["recordName"]} "{claim["recordValue"]}"'
    assert volary(database_url, "email-domain", "forbid", "corp.example").exit_code == 0


def test_owner_link_refuses_an_org_of_a_bad_name(database_url: str) -> None:
    done = volary(database_url, "owner-link", "--org", "Up/..")
    assert done.exit_code == 1
    assert "use small letters" in done.output


def test_audit_log_is_exported_and_verified(
    database_url: str, test_database: DatabaseForTest
) -> None:
    volary(database_url, "owner-link")
    exported = volary(database_url, "audit", "export")
    records = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [each["action"] for each in records] == ["org.create", "invitation.create"]
    assert all(each["actor"].startswith("operator:") for each in records)
    assert len(volary(database_url, "audit", "export", "--after", "1").stdout.splitlines()) == 1
    assert volary(database_url, "audit", "verify").exit_code == 0

    asyncio.run(remove_first_record(test_database.owner_url))
    broken = volary(database_url, "audit", "verify")
    assert broken.exit_code == 1
    assert "breaks at record 1: the record is missing" in broken.output


async def remove_first_record(url: str) -> None:
    owner = await asyncpg.connect(url)
    await owner.execute(
        "ALTER TABLE audit_log DISABLE TRIGGER ALL; DELETE FROM audit_log WHERE number = 1"
    )
    await owner.close()
