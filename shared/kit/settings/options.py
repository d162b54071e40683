"""Options of a click command, made from the declarations of settings."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

import click

from shared.kit.settings.declaring import Group, Setting, groups_of
from shared.kit.settings.reading import Given

C = TypeVar("C", bound=Callable[..., Any])


def option_name(variable: str, prefix: str) -> str:
    """Return ``--grace-seconds`` for ``VOLARY_AGENT_GRACE_SECONDS`` and its program's prefix."""
    return f"--{variable.removeprefix(prefix).lower().replace('_', '-')}"


def make_options(cls: type, prefix: str) -> Sequence[click.Option]:
    """
    Make an option for each setting of a class.

    click only collects texts, so that variables and options are read, and refused, alike:
    ``given_by`` prepares them for ``read``.
    """
    return [
        _make_option(declared, group, prefix)
        for group in groups_of(cls)
        for declared in group.settings
    ]


def given_by(cls: type, prefix: str, parameters: Mapping[str, object]) -> Mapping[str, Given]:
    """Return what a command's parameters give for each setting, by the setting's variable."""
    given = {}
    for group in groups_of(cls):
        for declared in group.settings:
            value = parameters[_parameter(declared, prefix)]
            option = option_name(declared.variable, prefix)
            if value is False and declared.off_option:
                option = declared.off_option
            given[declared.variable] = Given(option, _texts(value))
    return given


def render_default(declared: Setting) -> str:
    """Return the text of a setting's default, "" if it has none or an empty one."""
    match declared.default:
        case _ if declared.default_text:
            return declared.default_text
        case _ if declared.is_required or declared.default is None:
            return ""
        case bool(truth):
            return str(truth).lower()
        case timedelta() as length:
            return f"{length.total_seconds():.15g}"
        case StrEnum() as member:
            return member.value
        case value:
            return str(value) if value else ""


def _make_option(declared: Setting, group: Group, prefix: str) -> click.Option:
    option = option_name(declared.variable, prefix)
    names = f"{option}/{declared.off_option}" if declared.off_option else option
    scope = f"{group.only_with.split()[-1]}: " if group.only_with else ""
    default = render_default(declared)
    extra = "required" if declared.is_required else f"default: {default}" if default else ""
    # Markdown's links and code are for docs/settings.md.
    words = re.sub(r"\[([^]]*)\]\(([^)]*)\)", r"\1 (docs/\2)", declared.description)
    return click.Option(
        [names, _parameter(declared, prefix)],
        default=None,
        is_flag=declared.kind.is_flag or None,
        multiple=declared.kind.join is not None,
        metavar=None if declared.kind.is_flag else declared.kind.metavar,
        help=f"{scope}{words.replace('`', '')}{f'  [{extra}]' if extra else ''}",
    )


def _parameter(declared: Setting, prefix: str) -> str:
    return declared.variable.removeprefix(prefix).lower()


def _texts(value: object) -> Sequence[str]:
    match value:
        case None:
            return ()
        case bool(truth):
            return (str(truth).lower(),)
        case tuple() | list():
            return [str(each) for each in value]
        case _:
            return (str(value),)
