"""Writes what in ``docs/`` is made from something else, so that the two cannot differ."""

from scripts import decisions, diagrams


def main() -> None:
    diagrams.PHASES.write_text(diagrams.phases())
    decisions.INDEX.write_text(decisions.render_index())


if __name__ == "__main__":
    main()
