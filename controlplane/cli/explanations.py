"""Command ``volary explain``: shows why a run or action is pending, and its timeline."""

from collections.abc import Iterable

import click

from controlplane.cli.operations import CommandContext, with_context
from controlplane.cli.tables import span, table
from controlplane.core import names
from controlplane.core.errors import InvalidError
from controlplane.core.explanations import Explained
from shared.model.ids import ActionKey, RunKey


def parse_target(target: str, *, project: str, domain: str) -> tuple[RunKey, ActionKey | None]:
    """
    Parse RUN, RUN/ACTION, or the form in logs: PROJECT/DOMAIN/RUN and PROJECT/DOMAIN/RUN/ACTION.

    InvalidError for any other form.
    """
    parts = target.split("/")
    if len(parts) in {3, 4}:
        project, domain, *parts = parts
    if len(parts) not in {1, 2}:
        raise InvalidError(
            f"{target!r} is not a run; write RUN, RUN/ACTION, PROJECT/DOMAIN/RUN or"
            " PROJECT/DOMAIN/RUN/ACTION"
        )
    run = RunKey(
        names.parse_project(project), names.parse_domain(domain), names.parse_run(parts[0])
    )
    action = ActionKey(run, names.parse_action(parts[1])) if len(parts) == 2 else None
    return run, action


@click.command()
@click.argument("target", metavar="[PROJECT/DOMAIN/]RUN[/ACTION]")
@click.option("--project", "-p", default="flytesnacks", show_default=True)
@click.option("--domain", "-d", default="development", show_default=True)
@with_context
def explain(context: CommandContext, target: str, *, project: str, domain: str) -> None:
    """Explain why a run or an action is in its state, and where its time went."""
    from controlplane.cli import operators  # noqa: PLC0415
    from controlplane.usecases.explanations import ExplainedRun  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        run, action = parse_target(target, project=project, domain=domain)
        if action is not None:
            explained = await operator.explanations.action(operator.caller, action)
            context.answer(explained, _lines(explained))
        else:
            found = await operator.explanations.run(operator.caller, run)
            context.answer(found, _of_run(found))

    def _of_run(found: ExplainedRun) -> Iterable[str]:
        yield from _lines(found.root)
        if found.pending:
            yield ""
            yield from table(
                ("PENDING", "ATTEMPT", "PHASE", "CLUSTER", "REASON", ""),
                [
                    (
                        *(each.action.name, each.attempt, each.phase, each.cluster),
                        *(each.why.reason, each.why.message),
                    )
                    for each in found.pending
                ],
            )

    operators.run(context, work)


def _lines(explained: Explained) -> Iterable[str]:
    phase = explained.phase.name.lower().replace("_", " ")
    yield f"{explained.action}: {phase}, attempt {explained.attempt}"
    yield f"{explained.now.reason}: {explained.now.message}"
    if explained.timeline:
        yield ""
        yield from table(
            ("FROM (UTC)", "FOR", "REASON", ""),
            [
                (
                    f"{each.started_at:%Y-%m-%d %H:%M:%S}",
                    span(each.ended_at - each.started_at),
                    each.reason,
                    each.message,
                )
                for each in explained.timeline
            ],
        )
