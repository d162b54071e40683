"""Commands of ``volary trigger``: list and show triggers, their firings, and fire them."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform
from controlplane.cli.tables import render_fields, span
from controlplane.client.calls import Message

P = ParamSpec("P")
T = TypeVar("T")
Key = dict[str, Any]


def _schedule(found: Message) -> object:
    if found.get("cron"):
        return f"{found['cron']} ({found['timeZone']})"
    if found.get("rate"):
        return f"each {span(timedelta(seconds=float(found['rate'].removesuffix('s'))))}"
    return "by hand"


def _instants(firing: Message) -> object:
    """Return the instant of a firing, or of several the first and how many there are."""
    first, count = time_of("instant")(firing), int(firing.get("instants", 1))
    return first if count == 1 else f"{first} and {count - 1} more"


def _lag(firing: Message) -> object:
    """Return how late the run of an instant was created; None if no run was."""
    if firing.get("outcome") != "started" or firing.get("reason") == "by_hand":
        return None
    instant, decided = (datetime.fromisoformat(firing[at]) for at in ("instant", "decidedAt"))
    return span(decided - instant)


_TRIGGERS: Sequence[Column] = (
    ("PROJECT", read("project")),
    ("DOMAIN", read("domain")),
    ("TASK", read("taskName")),
    ("TRIGGER", read("name")),
    ("ACTIVE", read("active", default=False)),
    ("SCHEDULE", _schedule),
    ("NEXT", time_of("fireAt")),
    ("SKIPPED", read("skipped", 0)),
    ("ERROR", read("error")),
)
_FIRINGS: Sequence[Column] = (
    ("INSTANT", _instants),
    ("OUTCOME", read("outcome")),
    ("REASON", read("reason")),
    ("LATE BY", _lag),
    ("RUN", read("run")),
    ("BY", read("by")),
    ("", read("message")),
)


def _with_trigger(
    command: Callable[Concatenate[Platform, Key, P], T],
) -> Callable[Concatenate[Platform, P], T]:
    """Add the arguments that name a trigger to a command, and pass it the fields of a request."""

    @click.argument("task_name", metavar="TASK")
    @click.argument("name")
    @click.option("--project", "-p", default="flytesnacks", show_default=True)
    @click.option("--domain", "-d", default="development", show_default=True)
    @wraps(command)
    def run_with_trigger(platform: Platform, /, *args: P.args, **options: P.kwargs) -> T:
        remaining: dict[str, Any] = dict(options)
        key = {
            "project": remaining.pop("project"),
            "domain": remaining.pop("domain"),
            "taskName": remaining.pop("task_name"),
            "name": remaining.pop("name"),
        }
        return command(platform, key, *args, **remaining)

    return run_with_trigger


@click.group()
def trigger() -> None:
    """
    Show when triggers fire and what became of each instant, and fire them by hand.

    ``flyte deploy`` and ``flyte create|update|delete trigger`` make and change them.
    """


@trigger.command("list")
@click.option("--project", "-p", help="Of this project only.")
@click.option("--domain", "-d", help="Of this domain only.")
@click.option("--task", "task_name", help="Of this task only.")
@with_platform
def list_(
    platform: Platform, project: str | None, domain: str | None, task_name: str | None
) -> None:
    """List triggers, the active ones first."""
    platform.list(
        "TriggerService/ListTriggers",
        "triggers",
        _TRIGGERS,
        project=project,
        domain=domain,
        taskName=task_name,
    )


@trigger.command()
@with_platform
@_with_trigger
def show(platform: Platform, key: Key) -> None:
    """Show a trigger with its next five instants, in its time zone."""
    answer = platform.call("TriggerService/GetTrigger", **key)
    platform.answer(answer, _lines(answer["trigger"]))


@trigger.command()
@click.option("--skipped", is_flag=True, help="Only instants that started no run.")
@with_platform
@_with_trigger
def history(platform: Platform, key: Key, *, skipped: bool) -> None:
    """List what became of a trigger's instants, newest first: runs, late or not, and skips."""
    outcome = "skipped" if skipped else None
    platform.list("TriggerService/ListFirings", "firings", _FIRINGS, outcome=outcome, **key)


@trigger.command()
@click.option("--run", help="Name of the run; a repeated call with it starts no other.")
@with_platform
@_with_trigger
def fire(platform: Platform, key: Key, *, run: str | None) -> None:
    """Start a run of a trigger now, also if it is not active."""
    answer = platform.call("TriggerService/FireTrigger", run=run, **key)
    platform.answer(answer, [f"Run {answer['run']} is started."])


def _lines(found: Message) -> Iterable[str]:
    by = {"DEPLOYED": "deployed", "UPDATED": "updated"}
    yield from render_fields({
        "TRIGGER": "/".join(found[part] for part in ("project", "domain", "taskName", "name")),
        "DESCRIPTION": found.get("description"),
        "TASK VERSION": found["taskVersion"],
        "REVISION": found["revision"],
        "ACTIVE": found.get("active", False),
        "SCHEDULE": _schedule(found),
        "OVERLAP": found.get("overlap"),
        **{
            title: f"{time_of(f'{word}At')(found)} by {found.get(f'{word}By') or '-'}"
            for title, word in by.items()
        },
        "LAST RUN": time_of("triggeredAt")(found),
        "SKIPPED": found.get("skipped", 0),
        "LAST ERROR": found.get("error"),
    })  # fmt: skip
    yield ""
    instants = found.get("nextInstants", ())
    if not instants:
        yield "It never fires by itself." if found.get("active") else "It is not active."
        return
    yield "NEXT"
    yield from (each["local"] for each in instants)
