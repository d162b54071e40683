"""Commands in the documentation exist, with their options; each block runs in a test, or says why not."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from controlplane.cli import main as volary
from dataplane.agent.cli import main as agent
from tests.doc_commands import PAGES, ROOT, Command, all_commands, console_blocks, words_of
from tests.system.documented_pages import RUN_PAGES

_PROGRAMS = {"volary": volary, "volary-agent": agent}
MIGRATION = Path(__file__).parents[2] / "docs/migration.md"


def _fault(command: Command) -> str | None:
    """Say what is wrong with a command of ours; None if it exists with its options."""
    program, *words = words_of(command)
    found: click.Command = _PROGRAMS[program]
    context = click.Context(found, info_name=program)
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        inner = found.get_command(context, name)
        if inner is None:
            return f"{context.command_path} has no command {name}"
        found, context = inner, click.Context(inner, info_name=name, parent=context)
    known = {"--help", "-h"}.union(*({*each.opts, *each.secondary_opts} for each in found.params))
    for word in words:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][\w-]*", option) and option not in known:
            return f"{context.command_path} has no option {option}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documented_command_exists_with_its_options(page: Path) -> None:
    ours = [each for each in all_commands(page) if words_of(each)[0] in _PROGRAMS]
    faults = [f"{command}: {fault}" for command in ours if (fault := _fault(command))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_console_block_is_run_or_says_why_not(page: Path) -> None:
    if page in RUN_PAGES:
        return
    silent = [f"{page.name}:{each.line}" for each in console_blocks(page) if not each.not_run]
    assert not silent, f"add a comment `<!-- not run: REASON -->` above, or run them: {silent}"


def test_unknown_command_and_option_are_named() -> None:
    page = PAGES[0]
    assert _fault(Command(page, 1, "volary queue set x --depth 3")) is None
    assert _fault(Command(page, 1, "volary queue sett x")) == "volary queue has no command sett"
    assert (
        _fault(Command(page, 1, "volary queue set x --deep 3 | jq ."))
        == "volary queue set has no option --deep"
    )


def test_names_of_the_sdk_that_the_migration_guide_promises_exist() -> None:
    named = set(re.findall(r"\bflyte\.((?:io\.)?[A-Za-z]\w+)", MIGRATION.read_text()))
    assert len(named) > 10
    # In a program of its own, because importing the SDK warns.
    subprocess.run(  # noqa: S603 - our own words
        [
            sys.executable,
            "-c",
            "import flyte, flyte.io, flyte.remote; " + "; ".join(f"flyte.{name}" for name in named),
        ],
        check=True,
    )
