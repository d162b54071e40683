"""Renders ``docs/cli.md`` from the command lines of the three programs."""

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from controlplane.cli import main as volary
from dataplane.agent.cli import main as agent
from dataplane.agent.settings import PREFIX, Settings
from dataplane.copilot.cli import make_parser
from shared.kit.settings.options import make_options

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"

# Options of every command that calls the platform API: where it works, and as whom.
_CONNECTION = ("data_dir", "database_url", "api_key_file", "ca_file", "org", "url", "context")

_HEAD = """\
# Commands

Written by `make docs` from the declarations in the code; edit those.

`volary` is the command of people and operators, `volary-agent` runs in each cluster, and
`volary-copilot` beside a raw container. `--help` prints the same for one command. How a command
finds its control plane is in [operations.md](operations.md#commands).
"""


def cli_page() -> str:
    """Render the page as Markdown."""
    return "\n".join([
        _HEAD,
        *_connection(),
        *_program("volary", volary),
        *_program("volary-agent", agent),
        *_copilot(),
    ])  # fmt: skip


def _connection() -> Iterator[str]:
    """Render the options of connections once; each command refers to them."""
    context = click.Context(volary, info_name="volary")
    queues = _find(volary, context, "queue", "list")
    yield "## Connection\n\nMost commands of `volary` call the platform API, and have these options.\n"
    yield "| Option | Meaning |\n|---|---|"
    yield from (_row(each, context) for each in queues.params if _is_of_connection(each, queues))
    yield ""


def _find(group: click.Command, context: click.Context, *names: str) -> click.Command:
    found = group
    for name in names:
        assert isinstance(found, click.Group)  # noqa: S101 - the names are ours
        inner = found.get_command(context, name)
        assert inner is not None, name  # noqa: S101
        found = inner
    return found


def _is_of_connection(parameter: click.Parameter, command: click.Command) -> bool:
    has = {each.name for each in command.params}
    return parameter.name in _CONNECTION and has.issuperset(_CONNECTION)


def _program(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=10_000)
    yield f"## {name}\n\n{_paragraphs(command)}"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            if (found := command.get_command(context, each)) is not None:
                yield from _command(found, context, each)


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    if command.hidden:
        return
    context = click.Context(command, info_name=name, parent=parent)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            if (found := command.get_command(context, each)) is not None:
                yield from _command(found, context, each)
        return
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"### {context.command_path}\n\n    {context.command_path} {pieces}\n"
    if text := _paragraphs(command):
        yield text
    options = list(_options(command, context))
    if options:
        yield "| Option | Meaning |\n|---|---|"
        yield from options
        yield ""


def _paragraphs(command: click.Command) -> str:
    """Return the command's help, without click's marks; empty if it has none."""
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return f"{_cell(text)}\n" if text else ""


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    settings = {parameter.name for parameter in make_options(Settings, PREFIX)}
    elsewhere: dict[str, None] = {}
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        if parameter.name in settings and context.command_path.startswith("volary-agent"):
            elsewhere["| each [setting of the agent](settings.md#agent) | |"] = None
        elif _is_of_connection(parameter, command):
            elsewhere["| those of the [connection](#connection) | |"] = None
        else:
            yield _row(parameter, context)
    yield from elsewhere


def _row(parameter: click.Parameter, context: click.Context) -> str:
    assert isinstance(parameter, click.Option)  # noqa: S101 - what is rendered are options
    return f"| {_names(parameter, context)} | {_meaning(parameter)} |"


def _names(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    metavar = option.make_metavar(context).strip("[]").replace("|", "&#124;")
    return f"{names} {metavar}"


def _meaning(option: click.Option) -> str:
    parts = [_cell(inspect.cleandoc(option.help or "").replace("\n", " "))]
    if option.required:
        parts.append("Required.")
    if option.multiple:
        parts.append("Can be repeated.")
    if _has_default(option):
        parts.append(f"Default: `{option.default}`.")
    if variables := option.envvar:
        names = [variables] if isinstance(variables, str) else variables
        parts.append(f"Variable: {', '.join(f'`{name}`' for name in names)}.")
    return " ".join(part for part in parts if part)


def _has_default(option: click.Option) -> bool:
    default = option.default
    return (
        isinstance(default, int | float | str) and not isinstance(default, bool) and default != ""
    )


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("<", "&lt;")


def _copilot() -> Iterator[str]:
    parser = make_parser()
    yield f"## {parser.prog}\n\n{parser.description}\n"
    yield "| Argument | Meaning |\n|---|---|"
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of them
        if not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            names = ", ".join(f"`{name}`" for name in action.option_strings) or (
                f"`{action.metavar or action.dest}`"
            )
            choices = (
                f" One of {', '.join(f'`{c}`' for c in action.choices)}." if action.choices else ""
            )
            yield f"| {names} | {_cell(action.help or '')}{choices} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(cli_page())
