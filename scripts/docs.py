"""Generates the files of ``docs/`` that are derived from code and from DECISIONS.md files."""

from scripts import alert_rules, dashboards, decisions, diagrams, metrics, settings


def main() -> None:
    diagrams.PHASES.write_text(diagrams.phases())
    decisions.INDEX.write_text(decisions.render_index())
    alert_rules.write()
    dashboards.write()
    metrics.PAGE.write_text(metrics.metrics_page())
    settings.PAGE.write_text(settings.settings_page())


if __name__ == "__main__":
    main()
