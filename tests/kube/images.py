"""
Container images made of what runs the tests: this Python, its packages, our sources.

No registry and no builder: an image is a tar with a few JSON files and its layers in it
(the OCI image layout), and containerd imports it. Libraries are those that ``ldd`` names.
"""

import hashlib
import io
import json
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath
from shutil import which
from typing import Any

import certifi
from packaging.requirements import Requirement

TASK_IMAGE = "volary.test/task:1"
# What the SDK and our examples ask for, so that they run as they are.
_PYTHON = f"py{sys.version_info.major}.{sys.version_info.minor}"
_ALIASES = (
    f"ghcr.io/flyteorg/flyte:{_PYTHON}-v{metadata.version('flyte')}",
    "docker.io/library/python:3.12-slim",
)
PAUSE_IMAGE = "volary.test/pause:1"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_PREFIX = PurePosixPath("/usr/local")
_LIBRARY = _PREFIX / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
_SOURCES = PurePosixPath("/opt/volary")
_ROOT = Path(__file__).parents[2]
_PROGRAMS = ("sh", "cat", "chmod", "cp", "date", "echo", "env", "false", "head", "kill", "ls")
_MORE_PROGRAMS = (
    "gzip",
    "mkdir",
    "mv",
    "rm",
    "sleep",
    "tail",
    "tar",
    "test",
    "touch",
    "true",
    "wc",
)
_DISTRIBUTIONS = ("flyte", "flyteidl2", "obstore", "watchfiles", "click", "grpcio", "tenacity")
# Where TLS clients look for authorities.
_AUTHORITIES = PurePosixPath("/etc/ssl/certs/ca-certificates.crt")
_UNUSED = {"site-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3"}
_TO_EMBED_IT = {Path(sysconfig.get_config_var("LIBPL")).name}  # the largest of the library
_LDD = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Layer:
    """Files of an image, by where they are in it."""

    files: dict[PurePosixPath, Path] = field(default_factory=dict)
    texts: dict[PurePosixPath, str] = field(default_factory=dict)  # made executable

    def tar(self) -> bytes:
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as tar:
            for directory in sorted(_directories([*self.files, *self.texts])):
                entry = tarfile.TarInfo(str(directory).lstrip("/"))
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o1777 if directory.name == "tmp" else 0o755
                tar.addfile(entry)
            for place, source in sorted(self.files.items()):
                tar.add(source.resolve(), str(place).lstrip("/"), recursive=False, filter=_roots)
            for place, text in sorted(self.texts.items()):
                _add(tar, str(place).lstrip("/"), text.encode())
        return written.getvalue()


def write_task_image(path: Path) -> None:
    """Write the image in which tasks, copilot and agent run: Python, the SDK, our sources."""
    python = _python()
    packages = _packages(_DISTRIBUTIONS)
    programs = _programs([*_PROGRAMS, *_MORE_PROGRAMS])
    libraries = _libraries(
        [*programs.files.values(), *python.files.values(), *packages.files.values()]
    )
    _write(
        path,
        [TASK_IMAGE, *_ALIASES],
        [_system(), programs, libraries, python, packages, _sources()],
        {
            "Env": [f"PATH={_PATH}", f"PYTHONPATH={_SOURCES}", "LANG=C.UTF-8"],
            "Cmd": ["python3"],
            "WorkingDir": "/root",
        },
    )


def write_pause_image(path: Path) -> None:
    """Write the image whose one process holds a pod's namespaces and does nothing."""
    programs = _programs(["sleep"])
    libraries = _libraries(programs.files.values())
    _write(path, [PAUSE_IMAGE], [programs, libraries], {"Cmd": ["/bin/sleep", "infinity"]})


def _system() -> Layer:
    return Layer(
        files={_AUTHORITIES: Path(certifi.where())},
        texts={
            PurePosixPath("/etc/passwd"): "root:x:0:0:root:/root:/bin/sh\n",
            PurePosixPath("/etc/group"): "root:x:0:\n",
            PurePosixPath("/root/.profile"): "",
            PurePosixPath("/tmp/.keep"): "",  # noqa: S108 -- inside the image
            PurePosixPath("/var/tmp/.keep"): "",  # noqa: S108
        },
    )


def _programs(names: Sequence[str]) -> Layer:
    found = {name: which(name) for name in names}
    return Layer({PurePosixPath("/bin") / name: Path(path) for name, path in found.items() if path})


def _python() -> Layer:
    layer = Layer()
    executable = Path(sys.executable).resolve()
    for name in ("python", "python3", executable.name):
        layer.files[_PREFIX / "bin" / name] = executable
    for source in _files_below(Path(sysconfig.get_path("stdlib")), without=_UNUSED | _TO_EMBED_IT):
        layer.files[_LIBRARY / source.relative_to(sysconfig.get_path("stdlib"))] = source
    return layer


def _packages(names: Iterable[str]) -> Layer:
    """Copy distributions and their requirements, and rewrite their console scripts."""
    layer = Layer()
    site = _LIBRARY / "site-packages"
    for distribution in _with_requirements(names):
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file)))
            if ".." not in file.parts and source.is_file():
                _add_module(layer, site / file, source)
        _add_commands(layer, distribution)
    return layer


def _add_module(layer: Layer, place: PurePosixPath, source: Path) -> None:
    """Add a file; a module that is compiled here is so there, and starts in a third of the time."""
    layer.files[place] = source
    compiled = Path(cache_from_source(source)) if source.suffix == ".py" else None
    if compiled is not None and compiled.is_file():
        layer.files[place.parent / "__pycache__" / compiled.name] = compiled


def _add_commands(layer: Layer, distribution: metadata.Distribution) -> None:
    for command in distribution.entry_points.select(group="console_scripts"):
        layer.texts[_PREFIX / "bin" / command.name] = (
            f"#!{_PREFIX}/bin/python3\nimport sys\n"
            f"from {command.module} import {command.attr}\nsys.exit({command.attr}())\n"
        )


def _with_requirements(names: Iterable[str]) -> Iterator[metadata.Distribution]:
    seen: set[str] = set()
    desired = list(names)
    while desired:
        name = desired.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        yield distribution
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                desired.append(requirement.name)


def _sources() -> Layer:
    layer = Layer()
    for package in ("dataplane", "shared"):
        for source in _files_below(_ROOT / package, without={"__pycache__"}):
            _add_module(layer, _SOURCES / source.relative_to(_ROOT), source)
    _add_commands(layer, metadata.distribution("volary"))
    return layer


def _libraries(binaries: Iterable[Path]) -> Layer:
    """Find the libraries of binaries that are not beside them already, where they are found."""
    candidates = [binary for binary in binaries if _is_binary(binary)]
    output = subprocess.run(  # noqa: S603 -- our own arguments
        ["/usr/bin/ldd", *candidates], capture_output=True, text=True, check=False
    ).stdout  # it complains of each that is static
    within = str(Path(sysconfig.get_path("purelib")))
    found = {name for name in _LDD.findall(output) if not name.startswith(within)}
    return Layer({PurePosixPath(name): Path(name) for name in found})


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _files_below(directory: Path, *, without: set[str]) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and without.isdisjoint(path.relative_to(directory).parts):
            yield path


def _directories(places: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    return {parent for place in places for parent in place.parents} - {PurePosixPath("/")}


def _roots(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _write(
    path: Path, names: Sequence[str], layers: Sequence[Layer], runs: Mapping[str, Any]
) -> None:
    """Write the layout: layers, what runs, which layers those are, which image that is."""
    with tarfile.open(path, "w") as tar:
        described = [
            _add_blob(tar, layer.tar(), "application/vnd.oci.image.layer.v1.tar")
            for layer in layers
        ]
        configuration = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "os": "linux",
            "config": {**runs},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in described]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _add_json(tar, configuration, "application/vnd.oci.image.config.v1+json"),
            "layers": described,
        }
        image = _add_json(tar, manifest, "application/vnd.oci.image.manifest.v1+json")
        named = [{**image, "annotations": {"io.containerd.image.name": name}} for name in names]
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": named}).encode())
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())


def _add_json(tar: tarfile.TarFile, value: object, media_type: str) -> dict[str, Any]:
    return _add_blob(tar, json.dumps(value).encode(), media_type)


def _add_blob(tar: tarfile.TarFile, content: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    _add(tar, f"blobs/sha256/{digest}", content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))
