"""``volary secret``: with an API key over TLS, and straight on the database."""

import base64
from pathlib import Path

import pytest

from controlplane.core.secrets import SecretType
from controlplane.store.database import Database
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.secrets import Secrets
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes
from shared.model.secrets import SecretName
from tests.factories import ORG
from tests.integration.cli.program import KEY, OPERATOR, Program, program, service
from tests.integration.cli.world import Person

__all__ = ["program", "service"]

MANY = 205  # more than a page
CANARY = b"canary-5e1c\n"


@pytest.fixture
async def secrets(database: Database) -> Secrets:
    return Secrets(database, SystemClock(), SecretKeys([KEY]))


async def create(secrets: Secrets, name: str) -> None:
    named = SecretName(org=ORG, name=name)
    await secrets.create(OPERATOR, named, SecretType.GENERIC, SecretBytes(b"first"))


async def test_secret_is_updated_and_listed_with_an_api_key(
    program: Program, secrets: Secrets, tmp_path: Path
) -> None:
    await create(secrets, "token")
    file = tmp_path / "value"
    file.write_bytes(CANARY)
    updated = await program.run("secret", "update", "token", "--from-file", str(file))
    assert (updated.code, updated.out) == (0, "Secret token is updated.\n"), updated.err
    [found] = (await program.json("secret", "list"))["secrets"]
    assert (found["name"], found["version"], found["type"]) == ("token", "2", "generic")
    table = await program.run("secret", "list")
    assert "token" in table.out
    shown = str(found) + updated.out + updated.err + table.out
    assert "canary" not in shown
    records = (await program.json("audit", "list", "--action", "secret.update"))["records"]
    assert [each["target"] for each in records] == ["secret://token"]


async def test_secrets_are_listed_in_pages_to_the_end(program: Program, secrets: Secrets) -> None:
    for number in range(MANY):
        await create(secrets, f"s{number:03}")
    found = (await program.json("secret", "list"))["secrets"]
    assert [each["name"] for each in found] == [f"s{number:03}" for number in range(MANY)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--project", "p"), "domain"),
        (
            ("update", "missing", "--from-file", "-"),
            "not found",
        ),
        (("update", "a b", "--from-file", "-"), "consists of letters, digits, dashes"),
        (("update", "token"), "no terminal to ask for the value; give --from-file"),
    ],
)
async def test_refused_secret_command_names_the_remedy(
    program: Program, arguments: tuple[str, ...], message: str
) -> None:
    done = await program.run("secret", *arguments)
    assert done.code in {1, 2}
    assert message in done.err


async def test_secret_commands_on_the_database_read_the_keys_and_other_commands_do_not(
    person: Person, secrets: Secrets, database_url: str, tmp_path: Path
) -> None:
    await create(secrets, "token")
    keys, file = tmp_path / "keys", tmp_path / "value"
    file.write_bytes(CANARY)
    environment = {
        "VOLARY_DATABASE_URL": database_url,
        "VOLARY_ORG": ORG,
        "VOLARY_SECRETS_KEY_FILE": str(keys),
    }
    listed = await person.run("cluster", "list", **environment)
    assert listed.code == 0, listed.err
    update = ("secret", "update", "token", "--from-file", str(file))
    refused = await person.run(*update, **environment)
    assert refused.code == 1
    assert str(keys) in refused.err
    keys.write_text(base64.b64encode(b"k" * 32).decode() + "\n")
    keys.chmod(0o600)
    updated = await person.run(*update, **environment)
    assert updated.code == 0, updated.err
    [found] = (await person.run("secret", "list", "--output", "json", **environment)).json[
        "secrets"
    ]
    assert found["version"] == "2"
