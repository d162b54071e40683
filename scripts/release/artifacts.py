"""Builds the artifacts of a release: wheel, source distribution, charts, Terraform provider."""

import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.release import oci
from scripts.release.archives import read_folder, write_tar_gz, write_zip
from scripts.release.source import Source, run

PLATFORMS = ("darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64")
_CONSOLE = Path("controlplane/web/console")
_PROVIDER = "terraform-provider-volary"
_BACKEND = (
    "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
)


def build_python(source: Source, into: Path, *, console: Path | None) -> None:
    """Build the wheel and the source distribution; ``console``: the built console to include."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        source.export(tree)
        if console is not None:
            shutil.copytree(console, tree / _CONSOLE)
        _call_backend(source, "build_sdist", tree, Path(folder))
        _call_backend(source, "build_wheel", tree, into)
        [plain] = Path(folder).glob("*.tar.gz")
        unpacked = Path(folder, "sdist")
        with tarfile.open(plain) as archive:
            archive.extractall(unpacked, filter="data")
        name = plain.name.removesuffix(".tar.gz")
        write_tar_gz(into / plain.name, read_folder(unpacked / name, name), source.time)


def _call_backend(source: Source, hook: str, tree: Path, into: Path) -> None:
    run(
        *(sys.executable, "-c", _BACKEND, hook, str(into)),
        at=tree,
        environment={"SOURCE_DATE_EPOCH": str(source.time), "PYTHONHASHSEED": "0"},
    )


def build_charts(source: Source, into: Path) -> None:
    """Build each chart as Helm packs it, and all in one OCI layout, ``charts``."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        source.export(tree)
        charts = sorted(path.parent for path in (tree / "infra/helm").glob("*/Chart.yaml"))
        packed = []
        for chart in charts:
            target = into / f"{chart.name}-{source.version}.tgz"
            write_tar_gz(target, read_folder(chart, chart.name), source.time)
            packed.append(oci.Chart.read(chart, target))
        oci.write_layout(into / "charts", packed)


def build_provider(source: Source, into: Path, platforms: Sequence[str] = PLATFORMS) -> None:
    """Build the Terraform provider for each platform, as a registry and a mirror name it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        source.export(tree)
        for platform in platforms:
            system, _, machine = platform.partition("_")
            built = Path(folder, platform)
            run(
                *("make", "--no-print-directory", "provider", f"INTO={built}"),
                at=tree,
                environment={"GOOS": system, "GOARCH": machine},
            )
            suffix = ".exe" if system == "windows" else ""
            binary = built / _PROVIDER
            binary.chmod(0o755)
            name = f"{_PROVIDER}_v{source.version}{suffix}"
            target = into / f"{_PROVIDER}_{source.version}_{platform}.zip"
            write_zip(target, {name: binary, "LICENSE": tree / "LICENSE"}, source.time)
