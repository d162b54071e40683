"""Contents of the archive of images, layer by layer."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Image:
    """Return its user, and its own files: those in layers above its base."""

    config: dict[str, Any]
    sizes: dict[str, int]  # in bytes, by path

    @property
    def size(self) -> int:
        return sum(self.sizes.values())


@contextmanager
def opened(path: Path) -> Iterator["Archive"]:
    with tarfile.open(path) as tar:
        yield Archive(tar)


class Archive:
    """An OCI layout in a tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._index = json.loads(self._read("index.json"))

    def image(self, name: str) -> Image:
        (described,) = (
            each
            for each in self._index["manifests"]
            if each["annotations"]["org.opencontainers.image.ref.name"] == name
        )
        manifest = self._blob(described)
        sizes: dict[str, int] = {}
        for layer in manifest["layers"][1:]:
            blob = self._tar.extractfile(_place(layer))
            with tarfile.open(fileobj=blob) as files:
                sizes |= {entry.name: entry.size for entry in files if entry.isfile()}
        return Image(self._blob(manifest["config"]), sizes)

    def _blob(self, described: dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(self._read(_place(described))))

    def _read(self, name: str) -> bytes:
        file = self._tar.extractfile(name)
        assert file is not None, name
        return file.read()


def _place(described: dict[str, Any]) -> str:
    return f"blobs/{described['digest'].replace(':', '/')}"
