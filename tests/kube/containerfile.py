"""
The images that people install, built from ``infra/images/Containerfile`` by a real builder.

No registry is reached here, so their base is made of Debian's packages: like the official
Python images it has pip, no compiler, and no compiled modules. A fourth image stands in for
one that people take from elsewhere, the nginx of docs/install.md. All are in one archive (the
OCI layout), which containerd imports. ``make images`` builds it, ``make images-begin`` in the
background.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kube.builds import CACHE, Build, NotBuiltError

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "infra" / "images" / "Containerfile"
PROGRAMS = ("controlplane", "agent", "copilot")
VERSION = "0.1.0"
FRONT_IMAGE = "registry.example.com/nginx-unprivileged:1.29"  # as the example's values call it
_FRONT = Path(__file__).parent / "front"
_CACHE = CACHE / "images"
_SUITE = "bookworm"  # whose Python is 3.11
_PACKAGES = "ca-certificates,python3-pip"
_NEEDED = ("buildah", "mmdebstrap")
# How this machine reaches the package registry: a build has it as well, its image has not.
_LENT = (Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt"))


def name_image(program: str) -> str:
    """Spell the whole name that the charts' defaults come to."""
    return f"docker.io/volary/{program}:{VERSION}"


def find() -> Path:
    """Return the archive once it is built; NotBuiltError if no build is running."""
    return _build().find()


def _build() -> Build:
    digest = hashlib.sha256()
    for file in sorted(_inputs()):
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return Build(
        result=_CACHE / f"images-{digest.hexdigest()[:16]}.tar",
        module="tests.kube.containerfile",
        remedy="run make images (it needs root and make kube-packages)",
        make=_make,
    )


def _inputs() -> Iterator[Path]:
    """All that is sent to the builder, and what says how."""
    yield from (CONTAINERFILE, ROOT / ".dockerignore", Path(__file__))
    yield from _FRONT.iterdir()
    for name in re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE):
        place = ROOT / name
        files = place.rglob("*") if place.is_dir() else [place]
        yield from (each for each in files if each.is_file() and "__pycache__" not in each.parts)


def _make(archive: Path) -> None:
    if lacking := [name for name in _NEEDED if shutil.which(name) is None]:
        raise NotBuiltError(f"there is no {' and no '.join(lacking)}: run make kube-packages")
    if os.geteuid() != 0:
        raise NotBuiltError("the base of the images is made as root")
    builder = Builder(_CACHE / "storage")
    builder.make_base()
    # The last stage first: this builder makes all before it as well, and remembers them.
    for program in reversed(PROGRAMS):
        builder.build(name_image(program), CONTAINERFILE, ROOT, f"--target={program}")
    for program in PROGRAMS:  # what takes longest has a name, so that it is kept
        stage = f"{program}-environment"
        builder.build(f"localhost/{stage}", CONTAINERFILE, ROOT, f"--target={stage}")
    builder.build(FRONT_IMAGE, _FRONT / "Containerfile", _FRONT)
    builder.forget_the_nameless()
    for old in _CACHE.glob("images-*.tar"):
        old.unlink()
    with tempfile.TemporaryDirectory(dir=_CACHE) as layout:
        names = [*map(name_image, PROGRAMS), FRONT_IMAGE]
        for name in names:
            builder.push(name, Path(layout))
        _name(Path(layout, "index.json"), names)
        with tarfile.open(archive, "w") as tar:
            tar.add(layout, "")


@dataclass(frozen=True, slots=True)
class Builder:
    """Buildah, with a memory of its own: a layer whose inputs are as they were is not made."""

    storage: Path

    def make_base(self) -> None:
        """Have the image ``base``, of Debian's packages."""
        base = _CACHE / f"base-{_SUITE}.tar"
        if not base.exists():
            unfinished = base.with_suffix(".unfinished.tar")
            _run(
                *("mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}"),
                "--customize-hook=find $1/usr -name *.pyc -delete",
                *(_SUITE, unfinished),
            )
            unfinished.rename(base)
        with tempfile.TemporaryDirectory(dir=_CACHE) as home:
            Path(home, base.name).hardlink_to(base)
            Path(home, "Containerfile").write_text(
                f"FROM scratch\nADD {base.name} /\n"
                "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
            )
            self._buildah("build", "--layers", "--tag=base", home)

    def build(self, name: str, containerfile: Path, context: Path, *options: str) -> None:
        lent = [f"--volume={place}:{place}:ro" for place in _LENT if place.exists()]
        self._buildah(
            *("build", "--layers", "--isolation=chroot", "--pull=never"),
            *("--build-arg=BASE=localhost/base", *lent, *options),
            *(f"--tag={name}", f"--file={containerfile}", context),
        )

    def push(self, name: str, layout: Path) -> None:
        """Write an image into a layout."""
        quickly = ("--compression-format=gzip", "--compression-level=1")
        self._buildah("push", "--quiet", *quickly, name, f"oci:{layout}:{name}")

    def forget_the_nameless(self) -> None:
        """Remove what earlier builds left, or each would leave half a gigabyte."""
        self._buildah("rmi", "--prune")

    def _buildah(self, command: str, *arguments: str | Path) -> None:
        _run(
            *("buildah", f"--root={self.storage}", f"--runroot={self.storage}/run"),
            *("--storage-driver=overlay", command, *arguments),
        )


def _name(index: Path, names: list[str]) -> None:
    """Tell containerd what the images are called; it would make names up."""
    last_reported = json.loads(index.read_text())
    for image in last_reported["manifests"]:
        name = image["annotations"]["org.opencontainers.image.ref.name"]
        assert name in names
        image["annotations"]["io.containerd.image.name"] = name
    index.write_text(json.dumps(last_reported))


def _run(*command: str | Path) -> None:
    sys.stderr.write(f"{' '.join(map(str, command))}\n")
    sys.stderr.flush()
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 -- our own arguments


if __name__ == "__main__":
    _build().obey(sys.argv[1:])
