"""
Takes, checks and restores backups of the whole database; for the operator, who has its owner's address.

They run beside a control plane that serves (a backup), or before one does (a restore).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from controlplane.core.backups import (
    FORMAT,
    Manifest,
    require_restorable,
    require_server,
)
from controlplane.store.backups import copies, snapshots
from controlplane.store.backups.programs import find_programs
from controlplane.usecases.backup_files import (
    append_manifest,
    hash_file,
    read_manifest,
    reading,
    writing,
)
from shared.blobs.options import AnyOptions

COMPRESSION = 1
"""Level of gzip: more costs several times the CPU for a tenth of the size."""

Bundled = Callable[[str], str | None]
"""Returns the path of a Postgres program that is installed with Volary; None if it is not."""


async def take_backup(
    url: str, location: str, *, options: AnyOptions, bundled: Bundled
) -> Manifest:
    """
    Copy the database at ``url``, its owner's address, as it is at one moment; BackupError.

    It holds one snapshot until it is done. Only migrations wait for it.
    """
    async with writing(location, options) as path, snapshots.connected(url) as connection:
        server = snapshots.major_version(connection)
        programs = await asyncio.to_thread(find_programs, server, bundled)
        async with snapshots.exported(connection) as snapshot:
            contents = await snapshots.read_contents(connection)
            await asyncio.to_thread(
                copies.dump,
                programs,
                url,
                snapshot=snapshot,
                archive=path,
                compression=COMPRESSION,
            )
        size = path.stat().st_size
        manifest = Manifest(
            format=FORMAT,
            volary=version("volary"),
            schema=contents.schema,
            server=server,
            taken_at=contents.taken_at,
            archive_bytes=size,
            archive_sha256=await asyncio.to_thread(hash_file, path, size=size),
            rows=contents.rows,
            buckets=contents.buckets,
            keyrings=contents.keyrings,
            sealing_key=contents.sealing_key,
        )
        append_manifest(path, manifest)
        return manifest


async def check_backup(location: str, *, options: AnyOptions) -> Manifest:
    """Read a whole backup and compare it with its manifest; BackupError. Touches no database."""
    async with reading(location, options) as path:
        return await _checked(path)


async def restore_backup(
    url: str, location: str, *, options: AnyOptions, bundled: Bundled
) -> Manifest:
    """Fill the empty database at ``url``, its owner's address, all or nothing; BackupError."""
    async with reading(location, options) as path:
        manifest = await _checked(path)
        async with snapshots.connected(url) as connection:
            server = snapshots.major_version(connection)
            require_server(manifest, server=server)
            await snapshots.require_empty(connection)
            programs = await asyncio.to_thread(find_programs, server, bundled)
            await copies.ensure_roles(connection)
        await asyncio.to_thread(copies.restore, programs, url, archive=path, manifest=manifest)
        return manifest


async def mark_restored(url: str, taken_at: datetime) -> None:
    """Mark the database at ``url``, its owner's address, as a copy of ``taken_at``; BackupError."""
    async with snapshots.connected(url) as connection:
        await snapshots.require_schema(connection)
        await copies.mark(connection, taken_at, volary=version("volary"))


async def _checked(path: Path) -> Manifest:
    manifest = await asyncio.to_thread(read_manifest, path)
    require_restorable(manifest, schema=snapshots.newest_schema(), volary=version("volary"))
    return manifest
