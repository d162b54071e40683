"""Tests that an export has all that an org has, nothing of another org, and no credential."""

import json
from collections import Counter
from pathlib import Path

import asyncpg
from sqlalchemy import LargeBinary

from controlplane.store.backups.exports import EXPORTED_TABLES, PASSING, WITHHELD
from controlplane.store.tables import TENANT_TABLES
from shared.blobs.store import open_store
from tests.integration.backups.conftest import volary
from tests.integration.store.test_tenancy import insertion
from tests.servers.postgres import DatabaseForTest

# Columns of bytes that let nobody log in and open nothing.
HARMLESS = {
    *(("actions", name) for name in ("condition_type", "spec", "value")),
    *(("agent_certificates", name) for name in ("fingerprint", "public_key")),
    ("agent_enrolments", "public_key"),
    *(("artifacts", name) for name in ("digest", "spec")),
    ("audit_heads", "hash"),
    *(("audit_log", name) for name in ("hash", "previous_hash")),
    ("clusters", "secrets_key"),
    *(("runs", name) for name in ("requested_spec", "run_spec", "trigger_automation")),
    *(("specs", name) for name in ("body", "digest")),
    ("tasks", "spec"),
    *(
        (table, name)
        for table in ("trigger_revisions", "triggers")
        for name in ("automation", "spec")
    ),
}


async def test_export_has_every_row_and_object_of_its_org_and_none_of_another(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(test_database.owner_url)
    for org in ("ours", "theirs"):
        for table in TENANT_TABLES:
            await owner.execute(insertion(table, org))
    await owner.close()
    blobs = open_store((tmp_path / "blobs").as_uri())
    for path in ("ours/p/d/r/a0/1/outputs.pb", "ours/uploads/x", "ours2/p/x", "theirs/p/x"):
        await blobs.write(blobs.uri(path), b"four")

    ran = await volary(
        *("org", "export", str(tmp_path / "ours.jsonl"), "--org", "ours"),
        VOLARY_OWNER_DATABASE_URL=test_database.owner_url,
        VOLARY_BLOB_BASE=blobs.base,
    )
    assert ran.code == 0, ran.output
    text = (tmp_path / "ours.jsonl").read_text()
    head, *lines, end = (json.loads(line) for line in text.splitlines())
    assert head["export"]["org"] == "ours"
    rows = [line for line in lines if "table" in line]
    assert {line["row"]["org"] for line in rows} == {"ours"}
    assert "theirs" not in text
    expected = Counter(table.name for table in EXPORTED_TABLES)
    assert (
        Counter({name: min(number, 1) for name, number in end["end"]["rows"].items()}) == expected
    )
    assert [line["blob"] for line in lines if "blob" in line] == [
        "p/d/r/a0/1/outputs.pb",
        "uploads/x",
    ]
    assert (end["end"]["blobs"], end["end"]["blobBytes"]) == (2, 8)
    for line in rows:
        assert not {*WITHHELD.get(line["table"], ())} & {*line["row"]}, line
    assert f"Exported org ours to {tmp_path / 'ours.jsonl'}" in ran.output


def test_every_column_of_bytes_is_withheld_or_known_to_be_harmless() -> None:
    found = {
        (table.name, column.name)
        for table in TENANT_TABLES
        if table.name not in PASSING
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    withheld = {(table, name) for table, names in WITHHELD.items() for name in names}
    assert found == withheld | HARMLESS
    assert not withheld & HARMLESS


async def test_export_of_an_unknown_org_is_refused_and_leaves_no_file(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    arguments = ("org", "export", str(tmp_path / "x"), "--org", "nobody")
    url = test_database.owner_url
    ran = await volary(*arguments, "--rows-only", VOLARY_OWNER_DATABASE_URL=url)
    assert (ran.code, ran.output) == (1, "Error: org nobody not found\n")
    needs = await volary(*arguments, VOLARY_BLOB_BASE="", VOLARY_OWNER_DATABASE_URL=url)
    assert "set VOLARY_BLOB_BASE to list its objects; or give --rows-only" in needs.output
    assert [*tmp_path.iterdir()] == []  # noqa: ASYNC240
