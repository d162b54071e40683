"""Documentation agrees with the code: paths, links, make targets, test names, generated pages."""

import re
from pathlib import Path

import pytest

from scripts import docs

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "requirements/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", docs.PAGES, ids=lambda page: page.name)
def test_generated_page_agrees_with_the_code(page: Path) -> None:
    assert page.read_text() == docs.PAGES[page](), "run make docs"


def test_index_of_documentation_lists_every_page_once() -> None:
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md")
    index = (ROOT / "docs/README.md").read_text()
    assert sorted(re.findall(r"^\| \[([\w-]+\.md)\]", index, re.MULTILINE)) == pages


@pytest.mark.parametrize("fragment", sorted((ROOT / ".changes").iterdir()), ids=lambda p: p.name)
def test_changelog_fragment_is_named_by_kind_and_has_one_paragraph(fragment: Path) -> None:
    assert re.fullmatch(
        r"\d+\.(added|changed|fixed|removed|security)(\.[a-z]?\d+)?\.md", fragment.name
    ), "name it <issue>.<added|changed|fixed|removed|security>.<letter><number>.md"
    text = fragment.read_text()
    assert text.strip()
    assert "\n" not in text.strip(), "one line: a release makes a list of them"


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md"])
def test_paths_named_in_documents_exist(document: str) -> None:
    named = re.findall(
        r"`((?:controlplane|dataplane|shared|tests|scripts)/[^`*<]*)`",
        (ROOT / document).read_text(),
    )
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_in_documents_resolve(document: Path) -> None:
    text = (ROOT / document).read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    here = (ROOT / document).parent
    assert [
        link for link in links if not link.startswith("https://") and not (here / link).exists()
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_make_targets_named_in_documents_exist(document: Path) -> None:
    named = re.findall(r"(?:`|^    )make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(named) <= set(targets)


@pytest.mark.parametrize("plane", ["controlplane", "dataplane", "shared"])
def test_decisions_of_a_package_are_numbered_from_one(plane: str) -> None:
    for document in (ROOT / plane).rglob("DECISIONS.md"):
        numbers = re.findall(r"^## (\d+)\. ", document.read_text(), flags=re.MULTILINE)
        assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1)), document


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_tests_named_in_documents_exist(document: Path) -> None:
    text = (ROOT / document).read_text()
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
