"""The artifacts of a release are equal when they are built twice, and their users can read them."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts.release.__main__ import build
from scripts.release.artifacts import build_charts, build_provider, build_python
from scripts.release.source import Source
from scripts.release.statements import digests_of
from tests.servers.helm import Helm, helm

__all__ = ["helm"]

ROOT = Path(__file__).parents[3]
_NEEDS_GO = pytest.mark.skipif(
    shutil.which("go") is None, reason="there is no Go: run make test-needs"
)


@pytest.fixture(scope="module")
def source() -> Source:
    return Source.of_head(ROOT)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in place of the built console, which only CI has built."""
    folder = tmp_path_factory.mktemp("console")
    (folder / "assets").mkdir()
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets/main.js").write_text("")
    return folder


def test_wheel_and_sdist_are_equal_when_built_twice(
    source: Source, console: Path, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        build_python(source, tmp_path / name, console=console)
    built = digests_of(tmp_path / "first")
    assert sorted(built) == [
        f"volary-{source.version}-py3-none-any.whl",
        f"volary-{source.version}.tar.gz",
    ]
    assert digests_of(tmp_path / "second") == built
    with zipfile.ZipFile(tmp_path / "first" / f"volary-{source.version}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    assert {
        "controlplane/main.py",
        "controlplane/web/console/index.html",
        "controlplane/store/migrations/env.py",
        "dataplane/agent/cli.py",
        "shared/idl/platform/v1/openapi.json",
    } <= names
    assert not {name for name in names if name.startswith(("tests/", "scripts/"))}
    with tarfile.open(tmp_path / "first" / f"volary-{source.version}.tar.gz") as sdist:
        assert f"volary-{source.version}/controlplane/main.py" in sdist.getnames()


def test_charts_are_equal_when_built_twice_and_helm_reads_them(
    source: Source, helm: Helm, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        build_charts(source, tmp_path / name)
    assert digests_of(tmp_path / "first") == digests_of(tmp_path / "second")
    for chart in ("volary-agent", "volary-controlplane"):
        shown = helm.run("show", "chart", tmp_path / f"first/{chart}-{source.version}.tgz")
        assert f"name: {chart}\n" in shown
        assert f"version: {source.version}\n" in shown


def test_layout_of_charts_has_each_blob_by_its_digest(source: Source, tmp_path: Path) -> None:
    build_charts(source, tmp_path)
    layout = tmp_path / "charts"
    index = json.loads((layout / "index.json").read_text())
    names = []
    for described in index["manifests"]:
        names += described["annotations"].values()
        manifest = json.loads(_read(layout, described))
        assert json.loads(_read(layout, manifest["config"]))["version"] == source.version
        [content] = manifest["layers"]
        archive = tmp_path / f"{names[-1].replace(':', '-')}.tgz"
        assert _read(layout, content) == archive.read_bytes()
    assert names == [f"volary-{each}:{source.version}" for each in ("agent", "controlplane")]


def _read(layout: Path, described: dict[str, object]) -> bytes:
    digest = str(described["digest"]).removeprefix("sha256:")
    content = (layout / "blobs/sha256" / digest).read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert len(content) == described["size"]
    return content


@_NEEDS_GO
def test_provider_is_equal_when_built_twice_and_knows_its_version(
    source: Source, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        build_provider(source, tmp_path / name, ["linux_amd64"])
    built = digests_of(tmp_path / "first")
    assert [*built] == [f"terraform-provider-volary_{source.version}_linux_amd64.zip"]
    assert digests_of(tmp_path / "second") == built
    with zipfile.ZipFile(tmp_path / "first" / next(iter(built))) as archive:
        names = archive.namelist()
        binary = archive.read(f"terraform-provider-volary_v{source.version}")
    assert "LICENSE" in names
    assert source.version.encode() in binary


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the commit, without anything that is built."""
    folder = tmp_path / "clone"
    subprocess.run(  # noqa: S603
        ["git", "clone", "-q", "--no-hardlinks", "--depth=1", f"file://{ROOT}", folder],  # noqa: S607
        check=True,
    )
    return folder


@_NEEDS_GO
def test_release_has_each_part_and_its_statements_cover_them(
    clone: Path, console: Path, tmp_path: Path
) -> None:
    shutil.copytree(console, clone / "controlplane/web/console")
    (tmp_path / "release").mkdir()
    (tmp_path / "release/of-an-earlier-commit").touch()
    source = Source.read(clone)
    build(source, tmp_path / "release", signing_key=None, platforms=["linux_amd64"])
    digests = digests_of(tmp_path / "release")
    assert {name.partition("/")[0] for name in digests} == {
        *("CHANGELOG.md", "SHA256SUMS", "charts", "provenance.json", "sbom.cdx.json"),
        f"terraform-provider-volary_{source.version}_linux_amd64.zip",
        *(f"volary-{source.version}{end}" for end in (".tar.gz", "-py3-none-any.whl")),
        *(f"volary-{chart}-{source.version}.tgz" for chart in ("agent", "controlplane")),
    }
    sums = (tmp_path / "release/SHA256SUMS").read_text()
    summed = {name: digest for digest, name in (line.split("  ") for line in sums.splitlines())}
    assert summed == {name: each for name, each in digests.items() if name != "SHA256SUMS"}
    provenance = json.loads((tmp_path / "release/provenance.json").read_text())
    subjects = {each["name"]: each["digest"]["sha256"] for each in provenance["subject"]}
    assert subjects == {k: v for k, v in summed.items() if k != "provenance.json"}
    bill = json.loads((tmp_path / "release/sbom.cdx.json").read_text())
    kinds = {each["purl"].partition("/")[0] for each in bill["components"]}
    assert kinds == {"pkg:golang", "pkg:npm", "pkg:pypi"}
    assert all(each["licenses"] for each in bill["components"])


@_NEEDS_GO
def test_release_without_the_console_names_the_remedy(clone: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.release"],
        cwd=clone,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "make console" in done.stderr
    assert not (clone / "dist").exists()
