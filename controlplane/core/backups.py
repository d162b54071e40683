"""
Manifests of backups: what a copy of the database holds and needs, and who may restore it. PURE.

A backup is one file: an archive of ``pg_dump --format=custom``, then the manifest as JSON, then a
trailer of fixed size. ``pg_restore`` reads the archive without Volary. A file that was cut short
has no trailer.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Self

FORMAT = 1
MAX_MANIFEST_BYTES = 1024 * 1024
_MAGIC = b"VOLARYBK"
_TRAILER = struct.Struct(">QQ8s")  # bytes of the archive, bytes of the manifest, magic
TRAILER_BYTES = _TRAILER.size
EPOCH_STEP = 1_000_000
"""By how much a restore raises the epochs of clusters: above any that the copy has forgotten."""
CHANGE_STEP = 1_000_000_000
"""By how much a restore raises the change numbers of live runs: above any that it has forgotten."""


class BackupError(Exception):
    """A backup cannot be made, read or restored; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Contents of a backup, and what a restored control plane needs beside it. No secret."""

    format: int
    volary: str  # release that made it
    schema: str  # revision of the migrations
    server: int  # major version of the Postgres that it was taken from
    taken_at: datetime  # the moment that it shows
    archive_bytes: int
    archive_sha256: str  # hexadecimal
    rows: Mapping[str, int]  # by table; unlogged tables are left out, as is their data
    buckets: Sequence[str]  # bases below which the data of its runs lies
    keyrings: Sequence[str]  # names of the keys that seal secrets and notifications
    sealing_key: bool  # whether VOLARY_SEALING_KEY is needed: it has sealed rows

    def to_json(self) -> bytes:
        made = {**asdict(self), "taken_at": self.taken_at.isoformat()}
        return json.dumps(made, indent=2, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Parse a manifest; BackupError for one that this release cannot read."""
        try:
            read = json.loads(text)
            found = read["format"]
            if found != FORMAT:
                raise BackupError(
                    f"the backup has format {found}, and this release reads format {FORMAT}; "
                    "use the release that made it"
                )
            values = {each.name: read[each.name] for each in fields(cls)}
            values["taken_at"] = datetime.fromisoformat(values["taken_at"])
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(
                "the backup's manifest cannot be read; the file is damaged: use another backup"
            ) from error
        return cls(**values)


def render_trailer(*, archive_bytes: int, manifest_bytes: int) -> bytes:
    return _TRAILER.pack(archive_bytes, manifest_bytes, _MAGIC)


def parse_trailer(trailer: bytes, *, size: int) -> tuple[int, int]:
    """Return the sizes of archive and manifest of a file of ``size`` bytes; BackupError."""
    if len(trailer) == TRAILER_BYTES:
        archive, manifest, magic = _TRAILER.unpack(trailer)
        is_whole = archive + manifest + TRAILER_BYTES == size
        if magic == _MAGIC and is_whole and manifest <= MAX_MANIFEST_BYTES:
            return archive, manifest
    raise BackupError(
        f"it is no whole backup: its {size} bytes do not end as `volary backup` ends a file; "
        "it was cut short or is something else: copy it again, or use another backup"
    )


def require_restorable(manifest: Manifest, *, schema: str, volary: str) -> None:
    """Raise BackupError unless this release, with schema revision ``schema``, may restore it."""
    if manifest.schema != schema:
        raise BackupError(
            f"the backup has schema revision {manifest.schema} of Volary {manifest.volary}, and "
            f"this release ({volary}) has {schema}; restore it with Volary {manifest.volary}, "
            "then upgrade"
        )


def require_server(manifest: Manifest, *, server: int) -> None:
    """Raise BackupError unless a Postgres of major version ``server`` can take the backup."""
    if server < manifest.server:
        raise BackupError(
            f"the backup was taken from Postgres {manifest.server}, and the database to restore "
            f"is on Postgres {server}; use {manifest.server} or newer"
        )
