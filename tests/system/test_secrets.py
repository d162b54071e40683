"""Secrets from the SDK's command line to a running task, on ``volary up``."""

import hashlib
import secrets as random
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.security_pb2 import Secret

from controlplane.embedded.connectivity import database_url_of
from controlplane.embedded.databases import OWNER
from shared.secrets.keyrings import make_aes_key
from tests.running import until
from tests.system.api_client import ApiClient
from tests.system.commands import DOMAIN, PROJECT, Flyte
from tests.system.stack import Stack
from tests.system.values import Value

CANARY = f"canary-{random.token_hex(12)}"
RAW = bytes(range(256))


def digest(value: bytes) -> Value:
    return hashlib.sha256(value).hexdigest()


def volary_command(stack: Stack, *arguments: str, given: bytes = b"") -> str:
    command = [sys.executable, "-m", "controlplane.cli", *arguments]
    command += ["--data-dir", str(stack.data)]
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


async def dump_database(stack: Stack) -> str:
    """Return every row of every table as text, read as the tables' owner."""
    login = urlsplit(database_url_of(stack.data))
    password = (stack.data / "secrets" / "postgres-owner").read_text().strip()
    url = f"postgresql://{OWNER}:{password}@{login.path}?{login.query}"
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        return "\n".join(
            [
                row["text"]
                for (table,) in tables
                for row in await connection.fetch(f'SELECT t::text AS text FROM "{table}" t')  # noqa: S608
            ]
        )
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def created(flyte: Flyte, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flyte]:
    raw = tmp_path_factory.mktemp("values") / "raw"
    raw.write_bytes(RAW)
    flyte("create", "secret", "My-Key", "--value", "of the org")
    flyte("create", "secret", "My-Key", "--domain", DOMAIN, "--value", "of the domain")
    flyte(
        *("create", "secret", "My-Key", "--project", PROJECT, "--domain", DOMAIN),
        *("--value", CANARY),
    )
    flyte("create", "secret", "raw", "--from-file", str(raw))
    yield flyte
    flyte("delete", "secret", "raw")


async def test_task_reads_secrets_as_variables_and_as_files(created: Flyte, api: ApiClient) -> None:
    del created
    expected = [digest(CANARY.encode())]

    assert await api.result(await api.start(await api.spec("secretive.as_variables"))) == expected
    assert await api.result(await api.start(await api.spec("secretive_filed.as_file"))) == expected
    assert await api.result(await api.start(await api.spec("secretive_binary.as_binary_file"))) == [
        digest(RAW)
    ]


async def test_log_names_the_place_of_a_secret_file(created: Flyte, api: ApiClient) -> None:
    del created
    details = await api.finish(await api.spec("secretive_filed.as_file"))

    log = await api.log(details.id)

    assert "secret My-Key is the file" in log
    assert CANARY not in log


async def test_binary_secret_as_a_variable_fails_with_a_sentence(
    created: Flyte, api: ApiClient
) -> None:
    del created
    details = await api.finish(await api.spec("secretive_spoiled.as_spoiled_variable"))

    assert details.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert "not UTF-8 text" in details.error_info.message
    assert "mount=" in details.error_info.message


async def test_missing_secret_fails_once_and_names_scopes_and_command(api: ApiClient) -> None:
    details = await api.finish(await api.spec("secretive_absent.without"))

    assert details.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert details.status.attempts == 1
    message = details.error_info.message
    assert f"project {PROJECT}, domain {DOMAIN}; domain {DOMAIN}; the org" in message
    assert f"flyte create secret nowhere-to-be-found --project {PROJECT}" in message


async def test_group_of_a_secret_is_part_of_its_variable(created: Flyte, api: ApiClient) -> None:
    del created
    spec = await api.spec("secretive.as_variables")
    asked = spec.task_template.security_context.secrets
    del asked[:]
    asked.append(
        Secret(group="MY", key="My-Key", env_var="MY_KEY", mount_requirement=Secret.ENV_VAR)
    )
    asked.append(Secret(key="My-Key", env_var="T", mount_requirement=Secret.ENV_VAR))

    assert await api.result(await api.start(spec)) == [digest(CANARY.encode())]


def test_second_creation_is_refused_and_changes_nothing(created: Flyte) -> None:
    refused = created("create", "secret", "My-Key", "--value", "other", expect=1)

    assert "already exists" in refused.text


def test_get_lists_all_secrets_over_pages_without_values(created: Flyte) -> None:
    for number in range(12):
        created("create", "secret", f"page-{number}", "--value", CANARY)

    listed = created("get", "secret").text
    one = created("get", "secret", "My-Key", "--project", PROJECT, "--domain", DOMAIN).text

    assert all(f"page-{number}" in listed for number in range(12))
    assert "My-Key" in one
    assert "FULLY_PRESENT" in one
    assert CANARY not in listed + one
    for number in range(12):
        created("delete", "secret", f"page-{number}")
    assert "NOT FOUND" in created("delete", "secret", "page-1", expect=1).text


async def test_new_value_and_new_key_take_effect_with_the_next_attempt(
    own_stack: Stack, tmp_path: Path
) -> None:
    flyte = Flyte(own_stack, tmp_path / "home")
    flyte.deploy()
    api = ApiClient(own_stack.url)
    spec = await api.spec("secretive.as_variables")
    flyte("create", "secret", "My-Key", "--value", "old")
    assert await api.result(await api.start(spec)) == [digest(b"old")]

    volary_command(own_stack, "secret", "update", "My-Key", "--from-file", "-", given=b"new")
    assert await api.result(await api.start(spec)) == [digest(b"new")]

    # Rotation of the master key: the new one comes first, both open, then the old one goes.
    keys = own_stack.data / "secrets" / "secrets-keys"
    old, new = keys.read_text(), make_aes_key()
    keys.write_text(f"{new}\n{old}")
    assert "1 secrets sealed again" in volary_command(own_stack, "secret", "reseal")
    own_stack.kill()
    keys.write_text(new)
    own_stack.start()
    assert await api.result(await api.start(spec)) == [digest(b"new")]

    own_stack.up.stop()
    keys.write_text(make_aes_key())
    with pytest.raises(AssertionError, match="sealed with aes:"):
        own_stack.start()


async def test_deleted_secret_stays_with_the_attempt_that_has_it_and_fails_the_next(
    flyte: Flyte, api: ApiClient, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    flyte("create", "secret", "fleeting", "--value", "x")
    root = await api.start("secretive_fleeting.until", started=str(started), gate=str(gate))
    await until(started.exists, "the task has the secret")
    flyte("delete", "secret", "fleeting")
    gate.touch()

    details = await api.ended(root)

    errors = [each.error_info.message for each in details.attempts]
    assert len(errors) == 2  # the missing secret is final
    assert "still True" in errors[0]
    assert "fleeting" in errors[1]
    assert "flyte create secret" in errors[1]


async def test_value_is_found_nowhere_but_in_the_task(
    created: Flyte, api: ApiClient, stack: Stack
) -> None:
    """Searches the database's files, the ledger, logs, blobs and answers for the value."""
    del created
    for task in ("secretive.as_variables", "secretive_filed.as_file"):
        await api.finish(await api.spec(task))
    raw = CANARY.encode()
    needles = [raw, raw.hex().encode(), b64encode(raw)]
    dump = await dump_database(stack)

    assert "My-Key" in dump  # it is a dump, and has the secret's row
    assert not [needle for needle in needles if needle.decode() in dump]
    found = [
        path
        for root in (stack.data, stack.data.parent)
        for path in root.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]
    assert found == []
