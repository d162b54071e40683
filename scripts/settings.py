"""Renders ``docs/settings.md`` from the settings that both programs declare."""

from collections.abc import Iterator
from pathlib import Path

from controlplane import settings as controlplane
from dataplane.agent import settings as agent
from shared.kit.settings import Group, Setting, groups_of
from shared.kit.settings.options import option_name, render_default

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

_HEAD = """\
# Settings

Written by `make docs` from the declarations in the code; edit those.

Both programs read their settings once, at their start. A setting that is missing or invalid ends
the program with a message that names all of them, and what each accepts. An empty variable counts
as unset. A variable that begins with the program's prefix and is none of its settings is ignored,
with a warning that names the nearest setting. Secrets are in no log and no message.

## Control plane

`volary controlplane serve`, `check` and `volary db` read these environment variables. `volary up`
reads those of notifications and traces only; it has options instead (`volary up --help`).
"""

_AGENT = """
## Agent

`volary-agent run` and `doctor` take each setting as an option, which comes first, or from an
environment variable: `--grace-seconds` is `VOLARY_AGENT_GRACE_SECONDS`.
"""


def settings_page() -> str:
    """Render the page as Markdown."""
    return "".join([
        _HEAD,
        *_sections(controlplane.Settings, with_options=False),
        _AGENT,
        *_sections(agent.Settings, with_options=True),
    ])  # fmt: skip


def _sections(cls: type, *, with_options: bool) -> Iterator[str]:
    for group in groups_of(cls):
        if group.settings:
            yield _section(group, with_options=with_options)


def _section(group: Group, *, with_options: bool) -> str:
    lines = ["", f"### {group.title}", ""]
    scope = f"These have an effect with `{group.only_with}`." if group.only_with else ""
    if introduction := f"{group.introduction} {scope}".strip():
        lines += [introduction, ""]
    first = "Option, variable" if with_options else "Variable"
    lines += [f"| {first} | Default | Accepts | Meaning |", "|---|---|---|---|"]
    lines += [_row(each, with_options=with_options) for each in group.settings]
    return "\n".join([*lines, ""])


def _row(declared: Setting, *, with_options: bool) -> str:
    name = f"`{declared.variable}`"
    if with_options:
        option = option_name(declared.variable, agent.PREFIX)
        off = f"`, `{declared.off_option}" if declared.off_option else ""
        name = f"`{option}{off}`, {name}"
    meaning = f"{declared.description}{' Secret.' if declared.kind.is_secret else ''}"
    cells = [name, _default(declared), declared.kind.accepts, meaning]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _default(declared: Setting) -> str:
    if declared.is_required:
        return "required"
    if declared.default_text:
        return declared.default_text
    default = render_default(declared)
    return f"`{default}`" if default else "none"


if __name__ == "__main__":
    PAGE.write_text(settings_page())
