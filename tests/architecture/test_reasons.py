"""Sentences about why actions wait are made by the control plane alone; clients show them unchanged."""

import re
from pathlib import Path

from controlplane.core.reason_codes import Reason

ROOT = Path(__file__).parents[2]
LOOKS = ROOT / "console" / "src" / "model" / "run.ts"
"""Has a letter, a shade and a few words for legends, where reasons are counted and have no sentence."""

NEVER_WAITING = {Reason.ENDED, Reason.RUNNING, Reason.UNKNOWN}
_PHASES = {"waiting_for_resources"}
"""Codes that are phases, too, which the console has words for."""


def _looks() -> set[str]:
    [table] = re.findall(r"const REASONS:.*?= \{\n(.*?)\n\};", LOOKS.read_text(), re.DOTALL)
    return set(re.findall(r"^ +(\w+): \[", table, re.MULTILINE))


def test_console_has_a_look_for_each_reason_of_waiting() -> None:
    assert _looks() == {reason.value for reason in set(Reason) - NEVER_WAITING}


def test_no_client_has_sentences_of_its_own_for_reasons() -> None:
    # A code of one word is a word of many other things as well.
    codes = {reason.value for reason in Reason if "_" in reason} - _PHASES
    named = re.compile(rf"\b({'|'.join(sorted(codes))})\b")
    clients = [
        *(ROOT / "controlplane" / "cli").rglob("*.py"),
        *(ROOT / "controlplane" / "client").rglob("*.py"),
        *(ROOT / "console" / "src").rglob("*.ts*"),
    ]
    found = [
        f"{path.relative_to(ROOT)}: {', '.join(sorted(set(named.findall(path.read_text()))))}"
        for path in clients
        if path != LOOKS
        and "gen" not in path.parts
        and not path.name.endswith(".test.ts")
        and named.search(path.read_text())
    ]
    assert not found, "show the message that the control plane sends:\n" + "\n".join(found)
