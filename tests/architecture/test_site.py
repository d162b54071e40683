"""The site of the documentation is built from the repository's pages, without a broken link."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import site

ROOT = Path(__file__).parents[2]
_INDEX = """\
# Documentation

## How to

| | |
|---|---|
| [page.md](page.md) | a page |
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a README, an index and one page."""
    root = tmp_path / "repository"
    (root / "docs").mkdir(parents=True)
    shutil.copyfile(site.CONFIGURATION, root / "mkdocs.yml")
    (root / "README.md").write_text("# Home\n\n[All pages](docs/README.md)\n")
    (root / "docs/README.md").write_text(_INDEX)
    (root / "docs/page.md").write_text("# Page\n\n## 1. Its `--part`\n\n[home](../README.md)\n")
    subprocess.run(["git", "init", "-q", root], check=True)  # noqa: S603, S607
    return root


def test_site_of_this_repository_has_no_broken_link(tmp_path: Path) -> None:
    site.build(ROOT, tmp_path / "site")
    assert (tmp_path / "site/docs/cli/index.html").exists()


def test_site_loads_nothing_from_other_hosts(repository: Path, tmp_path: Path) -> None:
    site.build(repository, tmp_path / "site")
    page = (tmp_path / "site/docs/page/index.html").read_text()
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="http' not in page


def test_site_navigation_is_the_index_of_documentation() -> None:
    assert site.make_nav(_INDEX) == [
        {"Overview": "README.md"},
        {"All pages": "docs/README.md"},
        {"How to": ["docs/page.md"]},
    ]


@pytest.mark.parametrize(
    ("link", "named"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[gone](page.md#gone)", "gone"),
        ("[gone](../examples/gone.py)", "gone.py"),
    ],
    ids=["page", "heading", "file"],
)
def test_broken_link_fails_the_site_and_is_named(
    repository: Path, tmp_path: Path, link: str, named: str
) -> None:
    with (repository / "docs/page.md").open("a") as page:
        page.write(f"\n{link}\n")
    with pytest.raises(site.SiteError, match=named):
        site.build(repository, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_link_to_a_heading_has_the_anchor_that_hosts_of_repositories_make(
    repository: Path, tmp_path: Path
) -> None:
    with (repository / "README.md").open("a") as page:
        page.write("\n[part](docs/page.md#1-its---part)\n")
    site.build(repository, tmp_path / "site")
