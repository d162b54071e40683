"""Generates the files of ``docs/`` that are derived from code and from DECISIONS.md files."""

from scripts import decisions, diagrams


def main() -> None:
    diagrams.PHASES.write_text(diagrams.phases())
    decisions.INDEX.write_text(decisions.render_index())


if __name__ == "__main__":
    main()
