"""
Collects the fragments of ``.changes`` into a section of CHANGELOG.md.

    python -m scripts.release.changelog            prints the section of the next release
    python -m scripts.release.changelog collect    puts it into CHANGELOG.md, and removes the fragments
"""

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from scripts.release.source import ReleaseError, Source

_KINDS = ("added", "changed", "fixed", "removed", "security")
_NAME = re.compile(r"^(\d+)\.(\w+)(?:\.([a-z]?)(\d+))?\.md$")
_UNRELEASED = re.compile(r"^## Unreleased\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_EMPTY = "## Unreleased\n\nSee `.changes/`.\n\n"


def render_section(fragments: Path, version: str, day: date) -> str:
    """Render the fragments as a section, by kind, in the order of their issues; may be empty."""
    by_kind: Mapping[str, list[Path]] = {kind: [] for kind in _KINDS}
    for file in sorted(fragments.glob("*.md"), key=_order):
        name = _NAME.match(file.name)
        if name is None or name[2] not in by_kind:
            kinds = ", ".join(_KINDS)
            raise ReleaseError(
                f"{file.name} is no fragment: name it <issue>.<kind>.<letter><n>.md, of {kinds}"
            )
        by_kind[name[2]].append(file)
    lines = [f"## {version} ({day.isoformat()})\n"]
    for kind, files in by_kind.items():
        if files:
            lines += [
                "",
                f"### {kind.capitalize()}",
                "",
                *(f"* {_sentence(file)}" for file in files),
            ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _order(file: Path) -> tuple[int, str, int]:
    name = _NAME.match(file.name)
    return (int(name[1]), name[3] or "", int(name[4] or 0)) if name else (0, file.name, 0)


def _sentence(file: Path) -> str:
    return file.read_text().strip()


def collect(root: Path, version: str, day: date) -> None:
    """Put the section into CHANGELOG.md and remove the fragments; ReleaseError if there are none."""
    fragments = root / ".changes"
    files = sorted(fragments.glob("*.md"))
    if not files:
        raise ReleaseError(
            "there is no fragment in .changes: nothing has changed since the last release"
        )
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text()
    if f"## {version} (" in text:
        raise ReleaseError(
            f"CHANGELOG.md has {version} already: raise the version in pyproject.toml"
        )
    section = render_section(fragments, version, day)
    changelog.write_text(
        _UNRELEASED.sub(lambda _: f"{_EMPTY}{section}\n", text, count=1).rstrip() + "\n"
    )
    for file in files:
        file.unlink()


def main(arguments: Sequence[str]) -> int:
    root = Path(__file__).parents[2]
    try:
        source = Source.read(root)
        if arguments == ["collect"]:
            collect(root, source.version, source.date.date())
        else:
            print(render_section(root / ".changes", source.version, source.date.date()), end="")
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
