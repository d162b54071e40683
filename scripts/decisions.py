"""Generates ``docs/decisions.md``: the titles of all decisions, by package, each with its link."""

import re
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).parent.parent
INDEX = _ROOT / "docs" / "decisions.md"
_TITLE = re.compile(r"^## (\d+\. .+)$", re.MULTILINE)
_HIDDEN = re.compile(r"(^|/)([.]|node_modules/)")  # other people's packages, and caches


def render_index() -> str:
    lines = [
        "# Index of decisions",
        "",
        "What was decided, why, what was given up, and what would change our mind: in the",
        "`DECISIONS.md` of each package. Written from their titles by `make docs`.",
        "",
    ]
    for document in find_documents():
        package = document.parent.relative_to(_ROOT)
        lines += [f"## {package}", ""]
        lines += [
            f"* [{title}](../{package}/DECISIONS.md#{_make_anchor(title)})"
            for title in _TITLE.findall(document.read_text())
        ]
        lines.append("")
    return "\n".join(lines)


def find_documents() -> Sequence[Path]:
    """List every DECISIONS.md of the repository, sorted by path."""
    found = _ROOT.rglob("DECISIONS.md")
    return sorted(path for path in found if not _HIDDEN.search(str(path.relative_to(_ROOT))))


def _make_anchor(title: str) -> str:
    """Build the anchor that GitHub and GitLab generate for a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
