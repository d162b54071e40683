"""
The commands of the tutorial run in their order, and print what the page shows.

Each section is a test; the commands above the first one run before each.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from scripts.sdk_exits import intended_exit_code
from tests.doc_commands import ROOT, Command, console_blocks
from tests.system.documented_pages import RUN_PAGES
from tests.system.stack import Stack

_WITHIN_SECONDS = 150
_ENDPOINT = "localhost:8100"
"""The address that ``volary up`` has by default, which the pages write."""


@pytest.fixture
def reader(stack: Stack, tmp_path: Path) -> Mapping[str, str]:
    """The environment of a reader whose ``volary up`` keeps its data where it does by default."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".volary").symlink_to(stack.data)
    programs = Path(sys.executable).parent
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "500",
    }


def _sections() -> Iterator[tuple[Path, str]]:
    for page in RUN_PAGES:
        run = (block.section for block in console_blocks(page) if not block.not_run)
        yield from ((page, section) for section in dict.fromkeys(run) if section)


@pytest.mark.parametrize(
    ("page", "section"), [*_sections()], ids=lambda each: getattr(each, "name", each)
)
def test_commands_of_the_page_run_in_order_and_print_what_it_shows(
    page: Path, section: str, stack: Stack, reader: Mapping[str, str], tmp_path: Path
) -> None:
    place = tmp_path / "clone"
    shutil.copytree(ROOT / "examples", place / "examples")  # the SDK bundles no links
    for block in console_blocks(page):
        if block.section in {"", section} and not block.not_run:
            for command in block.commands:
                _run(command, stack.endpoint, place, reader)


def _run(command: Command, endpoint: str, place: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S602 - a page of ours, as its reader would run it
        command.text.replace(_ENDPOINT, endpoint),
        shell=True,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_WITHIN_SECONDS,
        check=False,
    )
    text = done.stdout.decode(errors="replace")
    assert intended_exit_code(done.returncode, text) == 0, f"{command} failed:\n{text}"
    assert command.prints(text), f"{command} does not print {command.output}:\n{text}"
