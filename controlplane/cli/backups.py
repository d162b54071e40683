"""Commands that back up and restore the control plane's whole database; for operators."""

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.user_errors import user_errors

if TYPE_CHECKING:
    from controlplane.core.backups import Manifest
    from shared.blobs.options import StoreOptions
    from shared.blobs.store import BlobStore

database_url = click.option(
    "--database-url",
    default="",
    help="Address of the database's owner.  [default: VOLARY_OWNER_DATABASE_URL]",
)
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data directory of a running volary up, instead of an address.",
)


@click.command()
@click.argument("location")
@database_url
@_DATA_DIR
def backup(location: str, database_url: str, data_dir: Path | None) -> None:
    """
    Copy the whole database, as it is now, to LOCATION: a path or s3://bucket/name.

    The control plane may serve meanwhile. Buckets and keys are not copied; the manifest names
    those that a restored control plane needs.
    """
    with user_errors():
        from controlplane.usecases.backups import take_backup  # noqa: PLC0415

        url = owner_url(database_url, data_dir)
        found = _run(lambda options: take_backup(url, location, options=options, bundled=_bundled))
    for line in _describe(found):
        click.echo(line)
    click.echo(f"Backed up to {location}.")


@click.command()
@click.argument("location")
@click.option("--check", is_flag=True, help="Only read and verify it; touches no database.")
@database_url
def restore(location: str, *, check: bool, database_url: str) -> None:
    """
    Fill an empty database from a backup, all or nothing.

    Stop every replica first; afterwards start them on the restored database. LOCATION is a path
    or s3://bucket/name.
    """
    with user_errors():
        from controlplane.usecases import backups  # noqa: PLC0415

        if check:
            found = _run(lambda options: backups.check_backup(location, options=options))
        else:
            url = owner_url(database_url, None)
            found = _run(
                lambda options: backups.restore_backup(
                    url, location, options=options, bundled=_bundled
                )
            )
    for line in _describe(found):
        click.echo(line)
    click.echo(f"{location} is whole." if check else f"Restored from {location}.")


def _run(work: "Callable[[StoreOptions], Awaitable[Manifest]]") -> "Manifest":
    import asyncio  # noqa: PLC0415

    async def run() -> "Manifest":
        return await work(store_options())

    return asyncio.run(run())


def owner_url(database_url: str, data_dir: Path | None) -> str:
    """Return the address of the database's owner: given, of a data directory, or configured."""
    from controlplane.embedded.connectivity import owner_url_of  # noqa: PLC0415
    from controlplane.settings import owner_database_url  # noqa: PLC0415

    if data_dir is not None:
        return owner_url_of(data_dir)
    given = {"VOLARY_OWNER_DATABASE_URL": database_url} if database_url else os.environ
    return owner_database_url(given)


def open_blobs(why: str) -> "BlobStore":
    """Open the store of VOLARY_BLOB_BASE; a ClickException says why it is needed, or is unfit."""
    from shared.blobs.options import BASE  # noqa: PLC0415
    from shared.blobs.store import open_store  # noqa: PLC0415

    base = os.environ.get("VOLARY_BLOB_BASE", "")
    if not base:
        raise click.ClickException(f"set VOLARY_BLOB_BASE {why}")
    with user_errors():
        try:
            return open_store(BASE.parse(base), store_options())
        except ValueError as error:
            raise click.ClickException(
                f"VOLARY_BLOB_BASE is {base!r}; give {BASE.accepts}"
            ) from error


def store_options() -> "StoreOptions":
    """Return the options of object stores that the environment has."""
    from shared.blobs.options import (  # noqa: PLC0415
        AzureOptions,
        GcsOptions,
        S3Options,
        StoreOptions,
    )
    from shared.kit.settings import read  # noqa: PLC0415

    return StoreOptions(
        s3=read(S3Options, os.environ),
        gcs=read(GcsOptions, os.environ),
        azure=read(AzureOptions, os.environ),
    )


def _bundled(name: str) -> str | None:
    """Return the path of a program of the embedded Postgres, if that is installed."""
    from controlplane.embedded.errors import UpError  # noqa: PLC0415
    from controlplane.embedded.postgres import program  # noqa: PLC0415

    try:
        return program(name)
    except UpError:
        return None


def _describe(manifest: "Manifest") -> Iterator[str]:
    yield f"taken at     {manifest.taken_at.isoformat(timespec='seconds')}"
    yield f"release      Volary {manifest.volary}, schema {manifest.schema}, Postgres {manifest.server}"
    yield f"rows         {sum(manifest.rows.values())} in {len(manifest.rows)} tables"
    yield f"archive      {manifest.archive_bytes} bytes, sha256 {manifest.archive_sha256}"
    yield f"needs data   {', '.join(manifest.buckets) or 'none'}"
    keys = [f"secrets key {name}" for name in manifest.keyrings]
    if manifest.sealing_key:
        keys.append("VOLARY_SEALING_KEY")
    yield f"needs keys   {', '.join(keys) or 'none'}"
