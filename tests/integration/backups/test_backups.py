"""Tests that a backup holds all rows of one moment, and that only a whole one is restored, once."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from controlplane.core.addresses import Addresses
from controlplane.core.backups import (
    CHANGE_STEP,
    EPOCH_STEP,
    TRAILER_BYTES,
    BackupError,
    Manifest,
    render_trailer,
)
from controlplane.embedded.postgres import program
from controlplane.store import migrations
from controlplane.store.backups import snapshots
from controlplane.store.checks import find_problems
from controlplane.usecases import backups
from shared.blobs.options import S3Options
from tests.factories import make_new_run
from tests.integration.backups.conftest import volary
from tests.integration.store.conftest import Store
from tests.servers.postgres import DatabaseForTest
from tests.servers.seaweed import S3ForTests

OPTIONS = S3Options()


async def take(database: DatabaseForTest, path: Path) -> Manifest:
    return await backups.take_backup(
        database.owner_url, str(path), options=OPTIONS, bundled=program
    )


async def restore(database: DatabaseForTest, path: Path) -> Manifest:
    return await backups.restore_backup(
        database.owner_url, str(path), options=OPTIONS, bundled=program
    )


async def count_rows(database: DatabaseForTest) -> Mapping[str, int]:
    async with snapshots.connected(database.owner_url) as connection:
        return await snapshots.count_rows(connection)


async def fetch(database: DatabaseForTest, query: str) -> object:
    connection = await asyncpg.connect(database.owner_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_backup_is_restored_with_every_row_and_both_roles(
    store: Store,
    test_database: DatabaseForTest,
    empty_database: DatabaseForTest,
    tmp_path: Path,
) -> None:
    for number in range(3):
        await store.create(make_new_run(f"r{number}"))
    manifest = await take(test_database, tmp_path / "copy")
    await store.create(make_new_run("later"))  # the copy does not have it

    assert await restore(empty_database, tmp_path / "copy") == manifest
    expected = {**manifest.rows, "restores": 1}  # it says that it is a copy
    assert await count_rows(empty_database) == expected
    assert expected["runs"] == 3
    addresses = Addresses(
        orgs=empty_database.url, fleet=empty_database.url, direct=empty_database.url
    )
    assert await find_problems(addresses) == []
    await asyncio.to_thread(migrations.upgrade, empty_database.owner_url)  # nothing is left to do
    assert await count_rows(empty_database) == expected


async def test_backup_shows_one_moment_while_rows_are_written(
    store: Store, test_database: DatabaseForTest, empty_database: DatabaseForTest, tmp_path: Path
) -> None:
    """Rows that are committed between the counts and the copy are in neither."""
    await store.create(make_new_run("before"))
    async with (
        snapshots.connected(test_database.owner_url) as connection,
        snapshots.exported(connection),
    ):
        await store.create(make_new_run("during"))
        assert (await snapshots.read_contents(connection)).rows["runs"] == 1
    manifest = await take(test_database, tmp_path / "copy")
    await restore(empty_database, tmp_path / "copy")
    assert (await count_rows(empty_database))["runs"] == manifest.rows["runs"] == 2


async def test_restored_database_gives_no_epoch_or_change_number_again(
    store: Store, test_database: DatabaseForTest, empty_database: DatabaseForTest, tmp_path: Path
) -> None:
    await store.create(make_new_run("live"))
    ended = await store.create(make_new_run("ended"))
    await store.abort(ended)
    query = "SELECT change FROM runs WHERE run = "
    of_live = int(str(await fetch(test_database, f"{query} 'live'")))
    of_ended = int(str(await fetch(test_database, f"{query} 'ended'")))
    await take(test_database, tmp_path / "copy")
    await restore(empty_database, tmp_path / "copy")

    assert await fetch(empty_database, f"{query} 'live'") == of_live + CHANGE_STEP
    assert await fetch(empty_database, f"{query} 'ended'") == of_ended  # it changes no more
    assert await fetch(empty_database, "SELECT epoch FROM clusters") == EPOCH_STEP
    assert await fetch(empty_database, "SELECT deleted_cluster_epoch FROM orgs") == EPOCH_STEP


@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
async def test_backup_that_is_cut_short_is_refused_and_changes_nothing(
    test_database: DatabaseForTest, empty_database: DatabaseForTest, tmp_path: Path, part: float
) -> None:
    whole = tmp_path / "whole"
    await take(test_database, whole)
    cut = tmp_path / "cut"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
    with pytest.raises(BackupError, match="it was cut short or is something else"):
        await restore(empty_database, cut)
    assert await count_rows(empty_database) == {}


async def test_backup_with_a_changed_byte_is_refused(
    test_database: DatabaseForTest, empty_database: DatabaseForTest, tmp_path: Path
) -> None:
    path = tmp_path / "copy"
    await take(test_database, path)
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    path.write_bytes(text)
    with pytest.raises(BackupError, match="does not have the checksum"):
        await restore(empty_database, path)
    assert await count_rows(empty_database) == {}


def rewrite(path: Path, **changes: object) -> None:
    """Change the manifest of a backup, and leave its archive."""
    text = path.read_bytes()
    archive_bytes, manifest_bytes = (
        int.from_bytes(text[-TRAILER_BYTES:][at : at + 8]) for at in (0, 8)
    )
    manifest = json.loads(text[archive_bytes : archive_bytes + manifest_bytes])
    changed = json.dumps({**manifest, **changes}).encode()
    trailer = render_trailer(archive_bytes=archive_bytes, manifest_bytes=len(changed))
    path.write_bytes(text[:archive_bytes] + changed + trailer)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "9999", "volary": "9.9"}, r"has schema revision 9999 of Volary 9\.9"),
        ({"format": 2}, "has format 2, and this release reads format 1"),
        ({"server": 99}, "was taken from Postgres 99, and the database to restore is on Postgres"),
        ({"rows": "none", "taken_at": 3}, "manifest cannot be read"),
    ],
)
async def test_backup_of_another_version_is_refused(
    test_database: DatabaseForTest,
    empty_database: DatabaseForTest,
    tmp_path: Path,
    changes: dict[str, object],
    words: str,
) -> None:
    path = tmp_path / "copy"
    await take(test_database, path)
    rewrite(path, **changes)
    with pytest.raises(BackupError, match=words):
        await restore(empty_database, path)
    assert await count_rows(empty_database) == {}


async def test_restore_whose_rows_differ_from_the_manifest_changes_nothing(
    store: Store, test_database: DatabaseForTest, empty_database: DatabaseForTest, tmp_path: Path
) -> None:
    """The counts are compared in the transaction of the restore, which is then undone."""
    path = tmp_path / "copy"
    manifest = await take(test_database, path)
    rewrite(path, rows={**manifest.rows, "orgs": 7})
    with pytest.raises(BackupError, match="table orgs has 1 rows, and the manifest says 7"):
        await restore(empty_database, path)
    assert await store.count("orgs") == 1
    assert await count_rows(empty_database) == {}


async def test_restore_into_a_database_that_is_not_empty_is_refused(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    await take(test_database, tmp_path / "copy")
    with pytest.raises(
        BackupError, match=r"is not empty: it has .*, and a restore replaces nothing"
    ):
        await restore(test_database, tmp_path / "copy")


async def test_backup_replaces_no_file_and_leaves_no_part_of_one(
    empty_database: DatabaseForTest, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    (tmp_path / "copy").write_text("another")
    with pytest.raises(BackupError, match="exists; a backup replaces nothing"):
        await take(test_database, tmp_path / "copy")
    with pytest.raises(BackupError, match="the database has no schema of Volary"):
        await take(empty_database, tmp_path / "empty")
    assert os.listdir(tmp_path) == ["copy"]  # noqa: PTH208


async def test_database_that_recovery_restored_is_marked_by_command(
    store: Store, test_database: DatabaseForTest, empty_database: DatabaseForTest
) -> None:
    await store.create(make_new_run())
    mark = ("restored", "mark", "--taken-at", "2026-11-29T18:00:00Z", "--database-url")
    ran = await volary(*mark, test_database.owner_url)
    assert ran.output == "The database is marked as a copy of 2026-11-29T18:00:00+00:00.\n"
    assert await fetch(test_database, "SELECT epoch FROM clusters") == EPOCH_STEP
    assert await fetch(test_database, "SELECT restored_at IS NOT NULL FROM clusters") is True
    refused = await volary(*mark, empty_database.owner_url)
    assert "the database has no schema of Volary" in refused.output


async def test_released_cluster_takes_work_that_a_restored_one_does_not(
    store: Store, test_database: DatabaseForTest
) -> None:
    await store.create(make_new_run())
    await fetch(test_database, "UPDATE clusters SET restored_at = now() RETURNING 1")
    of = ("--org", "acme", "--database-url", test_database.url)
    shown = await volary("restored", "show", *of)
    assert shown.output.splitlines()[0].endswith("0 leases, its agent has not reported yet")
    refused = await volary("restored", "release", "--rerun", *of)
    assert "start them, or name each with --without" in refused.output
    missing = await volary("restored", "release", *of, VOLARY_BLOB_BASE="")
    assert "set VOLARY_BLOB_BASE" in missing.output
    odd = await volary("restored", "release", *of, VOLARY_BLOB_BASE="ftp://x")
    assert "give file:///directory, s3://bucket/prefix" in odd.output
    released = await volary("restored", "release", "--rerun", "--without", "c1", *of)
    assert "Released: c1." in released.output
    assert "Every cluster may lease work." in (await volary("restored", "show", *of)).output


async def test_commands_back_up_to_a_bucket_check_and_restore(
    store: Store,
    test_database: DatabaseForTest,
    empty_database: DatabaseForTest,
    s3_server: S3ForTests,
) -> None:
    await store.create(make_new_run())
    location, s3 = f"{s3_server.new_base()}/monday", s3_server.options
    made = await volary(
        "backup", location, s3=s3, VOLARY_OWNER_DATABASE_URL=test_database.owner_url
    )
    assert made.code == 0, made.output
    assert f"Backed up to {location}." in made.output
    assert "needs data   file:///blobs\n" in made.output

    again = await volary(
        "backup", location, s3=s3, VOLARY_OWNER_DATABASE_URL=test_database.owner_url
    )
    assert "a backup replaces nothing" in again.output
    checked = await volary("restore", "--check", location, s3=s3)
    assert f"{location} is whole." in checked.output, checked.output
    filled = await volary("restore", location, "--database-url", empty_database.owner_url, s3=s3)
    assert f"Restored from {location}." in filled.output, filled.output
    assert (await count_rows(empty_database))["runs"] == 1


async def test_restore_names_a_backup_that_is_missing(tmp_path: Path) -> None:
    ran = await volary("restore", "--check", str(tmp_path / "none"))
    assert (ran.code, ran.output) == (
        1,
        f"Error: there is no file {tmp_path / 'none'}; check the name\n",
    )
