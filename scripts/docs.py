"""Generates the files of ``docs/`` that are derived from code and from DECISIONS.md files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from scripts import (
    access_reference,
    alert_rules,
    api_reference,
    audit_reference,
    cli_reference,
    dashboards,
    decisions,
    diagrams,
    error_reference,
    helm_reference,
    metrics,
    settings,
)

PAGES: Mapping[Path, Callable[[], str]] = {
    diagrams.PHASES: diagrams.phases,
    decisions.INDEX: decisions.render_index,
    access_reference.PAGE: access_reference.permissions_page,
    api_reference.HTTP_PAGE: api_reference.http_page,
    api_reference.PLATFORM_PAGE: api_reference.platform_page,
    audit_reference.PAGE: audit_reference.audit_page,
    cli_reference.PAGE: cli_reference.cli_page,
    error_reference.PAGE: error_reference.errors_page,
    helm_reference.PAGE: helm_reference.helm_page,
    metrics.PAGE: metrics.metrics_page,
    settings.PAGE: settings.settings_page,
}
"""Each generated page, and what renders it; tests compare the two."""


def main() -> None:
    for page, render in PAGES.items():
        page.write_text(render())
    alert_rules.write()
    dashboards.write()


if __name__ == "__main__":
    main()
