"""
Commands in the documentation's code blocks.

A ``console`` block has commands after ``$``, each followed by the lines that it has to print, where
``…`` stands for any text. The comment ``<!-- not run: REASON -->`` above it says why tests do not
run it. Commands in indented blocks and in fences without a language are read, too.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "examples/README.md"])
PROGRAMS = ("volary", "volary-agent", "flyte")

_NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
_FENCE = re.compile(r"^```(\w*)$")
_COMMENT = re.compile(r"\s{2,}[^\s].*$|\s+#\s.*$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command line of a page, and the lines that it prints."""

    page: Path
    line: int
    text: str
    output: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: {self.text}"

    def prints(self, text: str) -> bool:
        """Return whether ``text`` has each of the expected lines somewhere."""
        return all(
            re.search(".*".join(re.escape(part) for part in line.split("…")), text)
            for line in self.output
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands; ``not_run``: the reason why tests do not run it, if there is one."""

    page: Path
    line: int
    section: str  # the heading above; "" before the first
    commands: Sequence[Command]
    not_run: str = ""


def console_blocks(page: Path) -> Sequence[Block]:
    """Return the ``console`` blocks of a page, in order."""
    lines = page.read_text().splitlines()
    blocks = []
    section = ""
    for number, line in enumerate(lines):
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line == "```console":
            end = lines.index("```", number)
            reason = _NOT_RUN.match(lines[number - 1])
            commands = [*_console_commands(page, number + 1, lines[number + 1 : end])]
            not_run = reason[1] if reason else ""
            blocks.append(Block(page, number + 1, section, commands, not_run))
    return blocks


def _console_commands(page: Path, first: int, lines: Sequence[str]) -> Iterator[Command]:
    begun: list[str] = []
    output: list[str] = []
    line = first
    for number, text in enumerate(lines, first + 1):
        if text.startswith("$ "):
            if begun:
                yield Command(page, line, _join(begun), output)
            begun, output, line = [text[2:]], [], number
        elif begun[-1].endswith("\\"):
            begun.append(text.strip())
        else:
            output.append(text)
    if begun:
        yield Command(page, line, _join(begun), output)


def _join(lines: Sequence[str]) -> str:
    return " ".join(line.removesuffix("\\").strip() for line in lines)


def all_commands(page: Path) -> Iterator[Command]:
    """Yield each command of our programs and of the SDK's, in any code block of the page."""
    for block in console_blocks(page):
        yield from (each for each in block.commands if _program(each.text) in PROGRAMS)
    yield from _other_commands(page)


def _other_commands(page: Path) -> Iterator[Command]:
    language: str | None = None
    begun: list[str] = []
    line = 0
    for number, text in enumerate(page.read_text().splitlines(), 1):
        if fence := _FENCE.match(text):
            language = None if language is not None else fence[1]
        elif begun or (_program(text.strip()) in PROGRAMS and _is_code(text, language)):
            line = line if begun else number
            begun.append(text.strip())
            if not text.endswith("\\"):
                yield Command(page, line, _COMMENT.sub("", _join(begun)))
                begun = []


def _is_code(text: str, language: str | None) -> bool:
    return language in {"", "bash", "sh"} or (language is None and text.startswith("    "))


def _program(text: str) -> str:
    return text.split(" ", 1)[0]


def words_of(command: Command) -> Sequence[str]:
    """Split a command into words, without what a shell does after ``|`` or ``>``."""
    text = re.split(r" [|>&] ?", command.text)[0]
    return shlex.split(text)
