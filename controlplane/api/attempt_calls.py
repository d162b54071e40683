"""Authorizes calls with the token of a task's attempt: they are about its own run only."""

from typing import Any, Protocol

from controlplane.core.callers import Caller, OwnAttempt
from controlplane.core.errors import NotAllowedError
from shared.model.ids import RunKey
from shared.model.task_calls import (
    RULES,
    Scope,
    explain_absence,
    explain_refusal,
    find_refusal,
    list_other_runs,
    refuse_run,
)


class Lineage(Protocol):
    async def is_started_by(self, caller: Caller, run: RunKey, own: RunKey) -> bool:
        """Return whether ``run`` was started by a task of ``own``."""
        ...


def require_row(rpc: str) -> None:
    """Raise NotAllowedError, whatever the message, unless tasks may call the RPC at all."""
    if rpc not in RULES:
        raise NotAllowedError(explain_absence(rpc))


async def require_own(
    caller: Caller, own: OwnAttempt, rpc: str, request: Any, lineage: Lineage
) -> None:
    """
    Raise NotAllowedError unless the attempt ``own`` may send the message; the RPC has a row.

    The answer does not depend on whether another run exists.
    """
    rule = RULES[rpc]
    if reason := find_refusal(rule, request, own.action):
        raise NotAllowedError(explain_refusal(rpc, reason))
    for run in list_other_runs(rule, request, own.action.run):
        if rule.scope is Scope.LINEAGE and await lineage.is_started_by(caller, run, own.action.run):
            continue
        raise NotAllowedError(explain_refusal(rpc, refuse_run(run, own.action.run)))
