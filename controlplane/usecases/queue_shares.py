"""Use case of queue shares: which runs wait in a queue, what each holds, and why the oldest waits."""

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.explanations import Explanation
from controlplane.core.queues import DEFAULT
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.explanations import list_dispatches_of
from controlplane.store.dispatch.queue_shares import RunShare, list_shares
from controlplane.store.resources.queues import find_status
from controlplane.usecases.explanations import explain_dispatches
from shared.kit.clock import Clock

MOST_RUNS = 200
EXPLAINED = 10
"""Runs of which the longest waiting action is explained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedShare:
    share: RunShare
    why: Explanation | None  # of its longest waiting action, for the first runs


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueShares:
    """Runs with work in a queue; ``is_complete``: all that waits was counted."""

    runs: Sequence[ExplainedShare]
    is_complete: bool


class QueueShareReader:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller, queue: str, *, limit: int) -> QueueShares:
        """
        List the runs of a queue, the longest waiting first; "" is the default queue.

        Runs that the caller may not read are left out. NotFoundError, InvalidError.
        """
        caller.require(Permission.QUEUE_READ)
        if not 1 <= limit <= MOST_RUNS:
            raise InvalidError(f"limit: ask for 1 to {MOST_RUNS} runs")
        async with self._database.for_org(caller.org) as tx:
            if queue != DEFAULT and await find_status(tx, queue) is None:
                raise NotFoundError("queue", queue)
            shares, is_complete = await list_shares(tx, queue, most=limit)
            shown = [
                each
                for each in shares
                if caller.may(Permission.RUN_READ, each.oldest.run.project, each.oldest.run.domain)
            ]
            runs = [
                ExplainedShare(
                    share=each, why=await self._explain(tx, each) if place < EXPLAINED else None
                )
                for place, each in enumerate(shown)
            ]
        return QueueShares(runs=runs, is_complete=is_complete)

    async def _explain(self, tx: OrgTx, share: RunShare) -> Explanation | None:
        if share.oldest_id is None:
            return None
        dispatches = await list_dispatches_of(tx, share.oldest.run, [share.oldest_id])
        explained = await explain_dispatches(tx, dispatches, self._clock.now())
        return explained[0].why if explained else None
