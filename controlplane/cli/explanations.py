"""Command ``volary explain``: shows why a run or action is pending, and its timeline."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform
from controlplane.cli.tables import span, table
from controlplane.client.calls import Message
from controlplane.client.errors import ClientError

_ROOT = "a0"
_PENDING: Sequence[Column] = (
    ("PENDING", read("action")),
    ("ATTEMPT", read("attempt", 0)),
    ("PHASE", read("phase")),
    ("CLUSTER", read("cluster")),
    ("REASON", read("reason")),
    ("", read("message")),
)


def parse_target(target: str, *, project: str, domain: str) -> tuple[Mapping[str, str], str]:
    """
    Parse RUN, RUN/ACTION, or the form in logs: PROJECT/DOMAIN/RUN and PROJECT/DOMAIN/RUN/ACTION.

    Returns the run, and the action or "". ClientError for any other form.
    """
    parts = target.split("/")
    if len(parts) in {3, 4}:
        project, domain, *parts = parts
    if len(parts) not in {1, 2} or not all((project, domain, *parts)):
        raise ClientError(
            f"{target!r} is not a run; write RUN, RUN/ACTION, PROJECT/DOMAIN/RUN or"
            " PROJECT/DOMAIN/RUN/ACTION"
        )
    run = {"project": project, "domain": domain, "run": parts[0]}
    return run, parts[1] if len(parts) == 2 else ""


@click.command()
@click.argument("target", metavar="[PROJECT/DOMAIN/]RUN[/ACTION]")
@click.option("--project", "-p", default="flytesnacks", show_default=True)
@click.option("--domain", "-d", default="development", show_default=True)
@with_platform
def explain(platform: Platform, target: str, *, project: str, domain: str) -> None:
    """
    Explain why a run or an action is in its state, and where its time went.

    For a run: its root, then each action that has not ended.
    """
    run, action = parse_target(target, project=project, domain=domain)
    answer = platform.call("ExplanationService/ExplainAction", action=action or _ROOT, **run)
    if action:
        platform.answer(answer, _lines(answer["explanation"]))
        return
    if not platform.json:
        platform.answer(answer, [*_lines(answer["explanation"]), ""])
    platform.list("ExplanationService/ListPendingActions", "actions", _PENDING, head=answer, **run)


def _lines(explained: Message) -> Iterable[str]:
    phase = explained["phase"].replace("_", " ")
    action = "/".join(explained[name] for name in ("project", "domain", "run", "action"))
    yield f"{action}: {phase}, attempt {explained['attempt']}"
    yield f"{explained['reason']}: {explained['message']}"
    timeline = explained.get("timeline", ())
    if timeline:
        yield ""
        yield from table(
            ("FROM", "FOR", "REASON", ""),
            [
                (time_of("startedAt")(each), _length(each), each["reason"], each["message"])
                for each in timeline
            ],
        )
    refused = explained.get("refusedReports", ())
    if refused:
        yield ""
        yield "Reports that were refused, because their lease was not current; they changed nothing:"
        yield from table(
            ("AT", "ATTEMPT", "CLUSTER", "REPORTED", "LEASE"),
            [
                (
                    time_of("refusedAt")(each),
                    str(each["attempt"]),
                    each["cluster"],
                    each["phase"].replace("_", " "),
                    each["leaseId"],
                )
                for each in refused
            ],
        )


def _length(interval: Message) -> str:
    started, ended = (datetime.fromisoformat(interval[at]) for at in ("startedAt", "endedAt"))
    return span(ended - started)
