"""Generates the diagrams in ``docs/`` from the tables in the code, so that they agree."""

from pathlib import Path

from shared.model.phases import NEXT, RETRIED_FROM, TERMINAL, Phase

PHASES = Path(__file__).parent.parent / "docs" / "phases.md"


def phases() -> str:
    """Render the phases of an action as a Mermaid state diagram."""
    arrows = [f"    [*] --> {phase.name}" for phase in _initial_phases()]
    arrows += [
        f"    {phase.name} --> {following.name}"
        for phase, all_following in NEXT.items()
        for following in sorted(all_following)
    ]
    arrows += [f"    {phase.name} --> [*]" for phase in sorted(TERMINAL)]
    retried = ", ".join(phase.name for phase in sorted(RETRIED_FROM))
    return "\n".join(
        [
            "# The life of an action",
            "",
            "Drawn from `shared/model/phases.py` by `make docs`; change that, not this.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            *arrows,
            "```",
            "",
            "Terminal is final. A retry is a new attempt: the attempt that failed ends, with its",
            "own error, and in the same transaction the action goes back to QUEUED. It may do so",
            f"from {retried}.",
            "",
        ]
    )


def _initial_phases() -> list[Phase]:
    """List the phases without a predecessor: an action starts in one of them."""
    followers = frozenset[Phase]().union(*NEXT.values())
    return [phase for phase in NEXT if phase not in followers]
