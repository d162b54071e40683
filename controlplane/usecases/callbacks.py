"""Use cases of callbacks: make addresses that answer conditions, and answer by them."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core import callbacks
from controlplane.core.actions import ActionDetail
from controlplane.core.callbacks import LIFETIME, Callback
from controlplane.core.callers import Caller, Grant, Permission, Subject
from controlplane.core.errors import ConflictError, NotFoundError, NotReadyError
from controlplane.core.signing import LinkAlteredError, LinkExpiredError, SigningKeys
from controlplane.usecases.actions import Actions
from shared.kit.clock import Clock
from shared.model.ids import ActionKey, OrgName
from shared.model.phases import TERMINAL, Phase

log = logging.getLogger(__name__)

_ANSWERED = frozenset({Phase.SUCCEEDED, Phase.RECOVERED})


class GoneError(Exception):
    """The condition waits no longer, and was not answered; or the address has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackAddresses:
    """Makes addresses of this installation."""

    public_url: str
    keys: SigningKeys

    def make(
        self,
        org: OrgName,
        action: ActionKey,
        action_id: UUID,
        *,
        now: datetime,
        timeout: timedelta | None,
    ) -> str:
        """Return an address that answers the condition while it can still wait."""
        lifetime = LIFETIME if timeout is None else min(timeout, LIFETIME)
        callback = Callback(org=org, action=action, id=action_id, expires_at=now + lifetime)
        return self.public_url.rstrip("/") + callbacks.render(callback, self.keys)


class Callbacks:
    """Answers conditions for the holder of their address."""

    def __init__(
        self,
        actions: Actions,
        keys: SigningKeys,
        clock: Clock,
        parse: Callable[[bytes, ActionDetail], bytes],
    ) -> None:
        """``parse``: the value of a condition's type that a body of JSON has; InvalidError."""
        self._actions = actions
        self._keys = keys
        self._clock = clock
        self._parse = parse

    async def answer(self, path: str, query: Mapping[str, str], body: bytes, peer: str) -> None:
        """
        Answer the condition that the address names, once.

        NotFoundError for an address that we did not make; InvalidError for a value of another
        type, after which the condition still waits; ConflictError if it was answered before;
        GoneError if it ended otherwise, or the address expired.
        """
        try:
            callback = callbacks.parse(path, query, keys=self._keys, now=self._clock.now())
        except LinkAlteredError as error:
            raise NotFoundError("callback", "of this address") from error
        except LinkExpiredError as error:
            raise GoneError(str(error)) from error
        caller, action = _caller(callback, peer), callback.action
        detail = await self._find(caller, callback)
        _require_waiting(detail)
        value = self._parse(body, detail)
        try:
            await self._actions.signal(caller, action, None, value)
        except NotReadyError:  # it ended meanwhile
            _require_waiting(await self._find(caller, callback))
            raise
        log.info(
            "condition answered by a callback",
            extra={"org": callback.org, "action": str(action), "peer": peer},
        )

    async def _find(self, caller: Caller, callback: Callback) -> ActionDetail:
        detail = await self._actions.detail(caller, callback.action)
        if detail.row.id != callback.id:
            raise NotFoundError("callback", "of this address")
        return detail


def _require_waiting(detail: ActionDetail) -> None:
    phase = detail.row.phase
    if phase in _ANSWERED:
        raise ConflictError(f"condition {detail.row.key.name} was answered before")
    if phase in TERMINAL:
        raise GoneError(f"condition {detail.row.key.name} waits no longer: it is {phase.name}")


def _caller(callback: Callback, peer: str) -> Caller:
    """Return a caller that may do nothing but read and answer in the condition's scope."""
    run = callback.action.run
    granted = frozenset({Permission.ACTION_READ, Permission.RUN_SIGNAL})
    return Caller(
        subject=Subject(f"callback:{callback.id}"),
        org=callback.org,
        name="callback of a webhook",
        grants=(Grant(granted, run.project, run.domain),),
        peer=peer,
    )
