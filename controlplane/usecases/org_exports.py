"""
Exports all that one org has: its rows as JSON lines, and the list of its objects; for the operator.

The first line names the org and the moment, the last counts what is before it: a file without such
a last line is cut short.
"""

import json
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version

from controlplane.core.errors import NotFoundError
from controlplane.core.layout import org_base
from controlplane.store.backups import exports, snapshots
from controlplane.usecases.backup_files import writing
from shared.blobs.options import AnyOptions
from shared.blobs.store import BlobStore
from shared.model.ids import OrgName

FORMAT = 1
_BLOBS = 10_000
"""Objects that one listing returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Counts of an export."""

    rows: int
    blobs: int
    blob_bytes: int


async def export_org(
    url: str, org: OrgName, location: str, *, options: AnyOptions, blobs: BlobStore | None
) -> Exported:
    """
    Write the org's export to ``location``, a path or ``s3://bucket/name``.

    ``url``: of the database's owner. ``blobs``: the store whose objects are listed; None lists none.
    NotFoundError: there is no such org. BackupError: the database or the place cannot be used.
    """
    rows: Counter[str] = Counter()
    count = total = 0
    async with (
        snapshots.connected(url) as connection,
        writing(location, options) as path,
    ):
        if not await exports.has_org(connection, org):
            raise NotFoundError("org", org)
        with path.open("w", encoding="utf-8") as file:
            async with snapshots.exported(connection):
                taken_at = await exports.read_time(connection)
                head = {
                    "format": FORMAT,
                    "org": org,
                    "volary": version("volary"),
                    "takenAt": taken_at.isoformat(),
                    "base": "" if blobs is None else org_base(blobs.base, org),
                }
                file.write(f"{json.dumps({'export': head})}\n")
                async for table, row in exports.read_rows(connection, org):
                    file.write(f'{{"table": {json.dumps(table)}, "row": {row}}}\n')
                    rows[table] += 1
            after = ""
            while blobs is not None:
                page = await blobs.list_below(org_base(blobs.base, org), after=after, limit=_BLOBS)
                for blob in page:
                    file.write(f"{json.dumps({'blob': blob.path, 'size': blob.size})}\n")
                    count, total = count + 1, total + blob.size
                if len(page) < _BLOBS:
                    break
                after = page[-1].path
            end = {"rows": dict(sorted(rows.items())), "blobs": count, "blobBytes": total}
            file.write(f"{json.dumps({'end': end})}\n")
    return Exported(rows=rows.total(), blobs=count, blob_bytes=total)
