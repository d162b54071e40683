"""
Builds the site of the documentation with zensical into ``dist/site``, offline (``make site``).

The pages are the repository's Markdown files, at the paths they have in it: a relative link holds in
an editor, on the host of the repository, and on the site. The navigation comes from the tables of
``docs/README.md``, so that a page is listed in one place. A link to a page, a heading or a file
that does not exist fails the build.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

ROOT = Path(__file__).parent.parent
SITE = ROOT / "dist" / "site"
CONFIGURATION = ROOT / "mkdocs.yml"

_LINK = re.compile(r"\]\(([^)#\s]+)")
_SECTION = re.compile(r"^## (.+)$")
_ROW = re.compile(r"^\| \[[^]]+\]\(([\w./-]+\.md)\)")
_NO_PAGES = re.compile(r"^(\.changes|tests|console)/")
_COLOURS = re.compile(r"\x1b\[[\d;]*m")


class SiteError(Exception):
    """The site cannot be built; the message names each page and link at fault."""


def build(root: Path, into: Path) -> None:
    """Build the site of the repository at ``root`` into a folder, which it replaces; SiteError."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pages = _list_pages(root)
        _copy(root, work / "pages", pages)
        configuration = (root / CONFIGURATION.name).read_text()
        nav = yaml.safe_dump(
            {"nav": make_nav((root / "docs/README.md").read_text())}, sort_keys=False
        )
        (work / CONFIGURATION.name).write_text(f"{configuration}{nav}")
        _run_zensical(work)
        if broken := find_broken_links(work / "site"):
            raise SiteError("links of the site that lead nowhere:\n" + "\n".join(broken))
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(work / "site", into)


def make_nav(index: str) -> Sequence[object]:
    """Turn the index's sections and tables into MkDocs' ``nav``."""
    sections: list[tuple[str, list[str]]] = []
    for line in index.splitlines():
        if heading := _SECTION.match(line):
            sections.append((heading[1], []))
        elif (row := _ROW.match(line)) and sections:
            sections[-1][1].append(f"docs/{row[1]}")
    about: list[object] = [{"Overview": "README.md"}, {"All pages": "docs/README.md"}]
    return [*about, *({title: pages} for title, pages in sections)]


def find_broken_links(site: Path) -> Sequence[str]:
    """List ``page: link`` of each relative link of a page whose file or anchor does not exist."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    return [
        f"{page.relative_to(site)}: {link}"
        for page, parsed in pages.items()
        for link in parsed.links
        if not _leads_somewhere(site, page, link, pages)
    ]


def _leads_somewhere(site: Path, page: Path, link: str, pages: "dict[Path, _Page]") -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    path = unquote(parts.path)
    target = (site / path.lstrip("/") if path.startswith("/") else page.parent / path).resolve()
    if not path:
        target = page
    elif target.is_dir():
        target /= "index.html"
    if not target.exists():
        return False
    return not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].ids


class _Page(HTMLParser):
    """Collects the addresses that a page refers to, and the ids that others may refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = {"__skip"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if identifier := values.get("id"):
            self.ids.add(identifier)
        address = values.get(
            {"a": "href", "link": "href", "img": "src", "script": "src"}.get(tag, "")
        )
        if address:
            self.links.append(address)


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text())
    return page


def _list_pages(root: Path) -> Sequence[Path]:
    """List the Markdown files that users may read, tracked or new, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],  # noqa: S607
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return [Path(name) for name in listed if not _NO_PAGES.match(name) and (root / name).exists()]


def _copy(root: Path, into: Path, pages: Sequence[Path]) -> None:
    """Copy the pages, and the files and pages that they link to."""
    for path in {*pages, *_linked_files(root, pages)}:
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, target)


def _linked_files(root: Path, pages: Sequence[Path]) -> Iterator[Path]:
    for page in pages:
        for link in _LINK.findall((root / page).read_text()):
            target = (root / page.parent / link).resolve()
            if "://" not in link and target.is_file() and target.is_relative_to(root):
                yield target.relative_to(root)


def _run_zensical(work: Path) -> None:
    """Run ``zensical build --strict``, whose warnings are errors."""
    program = Path(sys.executable).with_name("zensical")
    result = subprocess.run(  # noqa: S603 - our own arguments
        [program, "build", "--strict", "--clean"],
        cwd=work,
        check=False,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        output = _COLOURS.sub("", result.stdout + result.stderr)
        raise SiteError(output.partition("Traceback")[0].strip())


def main() -> int:
    try:
        build(ROOT, SITE)
    except SiteError as error:
        print(f"The site is not built.\n{error}", file=sys.stderr)
        return 1
    print(f"Built {SITE.relative_to(ROOT)}: open {SITE.relative_to(ROOT)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
