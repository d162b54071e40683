"""A release's changelog, licences and statements are made from what is there, and refuse the rest."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import pytest

from scripts.release import changelog, licences, statements
from scripts.release.archives import read_folder, write_tar_gz, write_zip
from scripts.release.components import Component
from scripts.release.source import ReleaseError, Source

DAY = date(2026, 1, 31)
SOURCE = Source(Path("/nowhere"), "c0" * 20, 1_769_860_800, "1.2.3")
PACKAGE = Component("pypi", "some-package", "1.0", "MIT")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".changes").mkdir()
    (tmp_path / ".changes/9.fixed.a1.md").write_text("A fault is mended.\n")
    (tmp_path / ".changes/10.added.b2.md").write_text("A second thing.\n")
    (tmp_path / ".changes/10.added.b1.md").write_text("A first thing.\n")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\nSee.\n\n## 1.2.2 (2026-01-01)\n\nOld.\n"
    )
    return tmp_path


def test_changelog_lists_fragments_by_kind_and_issue(root: Path) -> None:
    assert changelog.render_section(root / ".changes", "1.2.3", DAY) == (
        "## 1.2.3 (2026-01-31)\n\n### Added\n\n* A first thing.\n* A second thing.\n\n"
        "### Fixed\n\n* A fault is mended.\n"
    )


def test_collected_changelog_keeps_older_releases_and_removes_fragments(root: Path) -> None:
    changelog.collect(root, "1.2.3", DAY)
    text = (root / "CHANGELOG.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Unreleased", "## 1.2.3 (2026-01-31)", "## 1.2.2 (2026-01-01)"]
    assert not [*(root / ".changes").iterdir()]
    with pytest.raises(ReleaseError, match="no fragment"):
        changelog.collect(root, "1.2.4", DAY)


def test_changelog_refuses_a_version_that_it_has(root: Path) -> None:
    with pytest.raises(ReleaseError, match="raise the version"):
        changelog.collect(root, "1.2.2", DAY)
    assert len([*(root / ".changes").iterdir()]) == 3


def test_changelog_refuses_a_fragment_with_another_name(root: Path) -> None:
    (root / ".changes/notes.md").write_text("?")
    with pytest.raises(ReleaseError, match=r"notes\.md"):
        changelog.render_section(root / ".changes", "1.2.3", DAY)


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "Apache-2.0 AND MIT",
        "(Apache-2.0 AND BSD-3-Clause)",
        "GPL-3.0-only OR MIT",
        "MIT License",
        "Mozilla Public License 2.0 (MPL 2.0)",
    ],
)
def test_licence_is_allowed_if_each_part_of_an_alternative_is(licence: str) -> None:
    assert licences.find_refused([Component("pypi", "some-package", "1.0", licence)]) == []


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "MIT AND GPL-3.0-only", "BUSL-1.1", ""])
def test_licence_that_is_not_listed_is_refused_with_the_package(licence: str) -> None:
    [refused] = licences.find_refused([Component("pypi", "some-package", "1.0", licence)])
    assert refused.startswith(f"some-package 1.0: {licence or 'no licence'} is not in ALLOWED")


def test_bill_of_materials_is_equal_for_equal_sources_and_names_packages() -> None:
    go = Component("golang", "github.com/acme/thing", "v1.0.0", "MPL-2.0")
    bill = statements.render_bill(SOURCE, [PACKAGE, go])
    assert bill == statements.render_bill(SOURCE, [go, PACKAGE])
    document = json.loads(bill)
    assert document["bomFormat"] == "CycloneDX"
    assert [each["purl"] for each in document["components"]] == [
        "pkg:golang/github.com/acme/thing@v1.0.0",
        "pkg:pypi/some-package@1.0",
    ]
    assert document["components"][1]["licenses"] == [{"expression": "MIT"}]


def test_provenance_names_each_file_and_the_commit() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    document = json.loads(statements.render_provenance(SOURCE, {"volary.whl": digest}))
    assert document["subject"] == [{"name": "volary.whl", "digest": {"sha256": digest}}]
    definition = document["predicate"]["buildDefinition"]
    assert definition["resolvedDependencies"] == [{"digest": {"gitCommit": SOURCE.commit}}]


def test_checksums_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a").write_text("a")
    sums = tmp_path / statements.CHECKSUMS
    sums.write_text(statements.render_checksums(statements.digests_of(tmp_path)))
    check = ["sha256sum", "--check", "--strict", sums.name]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0  # noqa: S603
    (tmp_path / "inner/a").write_text("b")
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 1  # noqa: S603


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen")
def test_signature_is_verified_until_the_file_changes(tmp_path: Path) -> None:
    key, sums = tmp_path / "key", tmp_path / statements.CHECKSUMS
    subprocess.run(  # noqa: S603
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key],  # noqa: S607
        check=True,
    )
    sums.write_text("checksums")
    statements.sign(sums, key)
    statements.sign(sums, key)  # again: it replaces the signature
    (tmp_path / "signers").write_text(f"release@volary {key.with_suffix('.pub').read_text()}")

    def verify() -> int:
        names = ["-I", "release@volary", "-n", statements.NAMESPACE]
        command = ["ssh-keygen", "-Y", "verify", "-f", "signers", *names, "-s", f"{sums.name}.sig"]
        return subprocess.run(  # noqa: S603
            command, cwd=tmp_path, input=sums.read_bytes(), check=False
        ).returncode

    assert verify() == 0
    sums.write_text("other checksums")
    assert verify() != 0


def test_missing_signing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no-such-key"):
        statements.sign(tmp_path / "file", tmp_path / "no-such-key")


def test_release_of_changed_files_is_refused(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        person = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *person, *arguments], cwd=tmp_path, check=True)  # noqa: S603, S607

    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "all")
    assert Source.read(tmp_path).version == "1.2.3"
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.4"\n')
    with pytest.raises(ReleaseError, match=r"pyproject\.toml"):
        Source.read(tmp_path)


@pytest.mark.parametrize("write", [write_tar_gz, write_zip])
def test_archive_depends_on_names_contents_and_the_right_to_execute_alone(
    tmp_path: Path, write: Callable[[Path, Mapping[str, Path], int], None]
) -> None:
    written = []
    for number, mode in enumerate((0o600, 0o664)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in "ab" if number else "ba":
            (folder / name).write_text(name)
            (folder / name).chmod(mode)
        target = tmp_path / f"{number}.archive"
        write(target, read_folder(folder, "top"), SOURCE.time)
        written.append(target.read_bytes())
    assert written[0] == written[1]
