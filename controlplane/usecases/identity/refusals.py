"""
Records refused administrative calls in the audit log, without letting callers fill it.

The call's log line has every refusal; the audit log has the first of each hour, for each caller and
RPC and replica.
"""

import logging
from datetime import datetime, timedelta

from controlplane.core.callers import Caller
from controlplane.store.database import Database
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock

log = logging.getLogger(__name__)

PAUSE = timedelta(hours=1)
MOST_REMEMBERED = 10_000
_MAX_ANSWER = 500

_Key = tuple[str, str, str]


class Refusals:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._recorded: dict[_Key, datetime] = {}

    async def record(self, caller: Caller, rpc: str, answer: str) -> None:
        """Record that a call was refused; the caller's answer does not depend on it."""
        if not self._is_due((caller.org, caller.subject, rpc)):
            return
        try:
            async with self._database.for_org(caller.org) as tx:
                await record(
                    tx,
                    self._clock,
                    caller,
                    "rpc.call",
                    f"rpc:{rpc}",
                    outcome="refused",
                    detail={"answer": answer[:_MAX_ANSWER]},
                )
        except Exception:
            log.exception("refused call not recorded", extra={"org": caller.org, "rpc": rpc})

    def _is_due(self, key: _Key) -> bool:
        """Return whether a refusal is to be recorded now, and note that it is."""
        now = self._clock.now()
        last = self._recorded.get(key)
        if last is not None and now - last < PAUSE:
            return False
        if len(self._recorded) >= MOST_REMEMBERED:
            self._recorded = {k: at for k, at in self._recorded.items() if now - at < PAUSE}
        if len(self._recorded) >= MOST_REMEMBERED:
            return False
        self._recorded[key] = now
        return True
