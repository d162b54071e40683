"""Every setting is declared once and described; messages and documents name those that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane import settings as controlplane
from dataplane.agent import settings as agent
from shared.kit.settings import Setting, groups_of
from shared.kit.settings.options import render_default

ROOT = Path(__file__).parents[2]
PROGRAMS = {controlplane.PREFIX: controlplane.Settings, agent.PREFIX: agent.Settings}

OTHERS = {
    **dict.fromkeys(
        ("VOLARY_API_KEY", "VOLARY_CA_FILE", "VOLARY_CONTEXT", "VOLARY_URL"),
        "options of volary's remote commands",
    ),
    "VOLARY_ATTEMPT": "the runtimes', in a task",
    "VOLARY_COPILOT_HANDOFF": "the copilot's",
    "VOLARY_ON_DISCONNECT": "a task's",
    "VOLARY_RECORD_WIRE": "the tests'",
    "VOLARY_SEALING_KEY": "declared with the logins that need it",
    "VOLARY_UP_DATABASE_URL": "an option of volary up",
    agent.TASK_NAMESPACE: "an option of the doctor",
}


def _declared() -> Iterator[tuple[str, Setting]]:
    for prefix, cls in PROGRAMS.items():
        for group in groups_of(cls):
            for each in group.settings:
                yield prefix, each


SETTINGS = list(_declared())


@pytest.mark.parametrize(("prefix", "setting"), SETTINGS, ids=lambda each: str(each)[:60])
def test_setting_has_its_program_s_prefix_and_a_description(prefix: str, setting: Setting) -> None:
    assert re.fullmatch(prefix + "[A-Z0-9]+(_[A-Z0-9]+)*", setting.variable)
    assert setting.description.endswith("."), "sentences"
    assert setting.kind.accepts
    assert setting.is_required or render_default(setting) or not setting.default, "say the default"


def test_each_variable_is_declared_once() -> None:
    variables = [setting.variable for _, setting in SETTINGS]
    assert len(variables) == len(set(variables)) > 70


def test_defaults_of_settings_are_accepted() -> None:
    for _, setting in SETTINGS:
        text = "" if setting.is_required or setting.default_text else render_default(setting)
        assert not text or setting.kind.parse_all([text]) == setting.default, setting.variable


def test_variables_named_in_code_and_documents_are_settings() -> None:
    known = {setting.variable for _, setting in SETTINGS} | OTHERS.keys()
    files = [
        path
        for pattern in ("controlplane/**/*.py", "dataplane/**/*.py", "shared/**/*.py", "docs/*.md", "*.md")
        for path in ROOT.glob(pattern)
        if path.name != "CHANGELOG.md"
    ]  # fmt: skip
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in re.findall(r"\bVOLARY_[A-Z0-9_]*[A-Z0-9]\b(?![_{*])", path.read_text())
        if name not in known
    }
    assert found == set()
