"""Commands of ``volary quota``: show, list and set the limits of the org and of its projects."""

from collections.abc import Sequence

import click

from controlplane.cli.calls import Column, Platform, read, with_platform
from controlplane.cli.tables import table
from controlplane.client.calls import Message

_LIMIT = click.IntRange(min=0)
_COLUMNS: Sequence[Column] = (
    ("OF", lambda quota: quota.get("project") or "(org)"),
    ("ACTIONS TODAY", read("use.actionsToday", 0)),
    ("A DAY", read("actionsPerDay", 0)),
    ("TRIGGERS", read("use.triggers", 0)),
    ("LIMIT", read("triggers", 0)),
    ("REQUESTS/S", read("requestsPerSecond", 0)),
)

_project = click.option("--project", default="", help="Of this project.  [default: of the org]")


@click.group()
def quota() -> None:
    """Limit what an org and its projects may use; 0 is no limit."""


@quota.command("list")
@with_platform
def list_(platform: Platform) -> None:
    """List the limits of the org, and of the projects that have some, with the use now."""
    platform.list("QuotaService/ListQuotas", "quotas", _COLUMNS)


@quota.command()
@_project
@with_platform
def show(platform: Platform, *, project: str) -> None:
    """Show limits and the use now."""
    answer = platform.call("QuotaService/GetQuota", project=project)
    platform.answer(answer, _table(answer["quota"]))


@quota.command("set")
@_project
@click.option("--actions-per-day", type=_LIMIT, help="Most actions in a day (UTC).")
@click.option("--triggers", type=_LIMIT, help="Most triggers.")
@click.option(
    "--requests-per-second", type=_LIMIT, help="Most API requests at each replica; of the org only."
)
@with_platform
def set_(
    platform: Platform,
    *,
    project: str,
    actions_per_day: int | None,
    triggers: int | None,
    requests_per_second: int | None,
) -> None:
    """Change the given limits. Those of the org need --database-url: they are the operator's."""
    given = {
        "actionsPerDay": actions_per_day,
        "triggers": triggers,
        "requestsPerSecond": requests_per_second,
    }
    changed = {field: value for field, value in given.items() if value is not None}
    if not changed:
        raise click.UsageError("give a limit to set, as in --actions-per-day 10000")
    answer = platform.call(
        "QuotaService/UpdateQuota",
        quota={"project": project, **changed},
        updateMask=",".join(changed),
    )
    platform.answer(answer, _table(answer["quota"]))


def _table(found: Message) -> list[str]:
    titles = [title for title, _ in _COLUMNS]
    return list(table(titles, [[of(found) for _, of in _COLUMNS]]))
