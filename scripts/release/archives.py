"""Archives whose bytes follow from their files alone: sorted, of one time, of no user."""

import gzip
import io
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

_EXECUTABLE, _PLAIN = 0o755, 0o644


def read_folder(folder: Path, prefix: str) -> Mapping[str, Path]:
    """Return the files of a folder by their name in an archive, below ``prefix``."""
    return {
        f"{prefix}/{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()
    }


def write_tar_gz(target: Path, files: Mapping[str, Path], seconds: int) -> None:
    """Write a compressed tar of files by their names in it; ``seconds``: the time of each."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = path.stat().st_size, seconds, _mode(path)
            with path.open("rb") as content:
                archive.addfile(entry, content)
    target.write_bytes(gzip.compress(raw.getvalue(), 9, mtime=seconds))


def write_zip(target: Path, files: Mapping[str, Path], seconds: int) -> None:
    """Write a zip of files by their names in it; ``seconds``: the time of each."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, time.gmtime(seconds)[:6])
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3  # Unix
            entry.external_attr = _mode(path) << 16
            archive.writestr(entry, path.read_bytes())


def _mode(path: Path) -> int:
    return _EXECUTABLE if path.stat().st_mode & 0o100 else _PLAIN
