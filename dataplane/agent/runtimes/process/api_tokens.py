"""Keeps the files with the access tokens of local attempts up to date while the attempts run."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataplane.agent.core.attempt_tokens import (
    AttemptNotRunningError,
    FindToken,
    TokenUnavailableError,
)
from dataplane.agent.runtimes.process.directory import AttemptDirectory
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId

logger = logging.getLogger(__name__)

_EVERY = timedelta(seconds=1)
_NOT_NEEDED_FOR = timedelta(minutes=1)


@dataclass(slots=True)
class _Kept:
    """An attempt whose token is renewed; ``due_at`` None: never again."""

    assignment: Assignment
    directory: AttemptDirectory
    due_at: datetime | None


class ApiTokens:
    """Writes attempts' tokens; ``find`` is None where tasks call the API without TLS."""

    def __init__(self, find: FindToken | None, clock: Clock) -> None:
        self._find = find
        self._clock = clock
        self._kept: dict[AttemptId, _Kept] = {}
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Renew tokens that are due, until cancelled."""
        while True:
            await self.renew_due()
            await self._clock.sleep(_EVERY)

    async def renew_due(self) -> None:
        """Renew the tokens that are due; the next pass repeats those that fail."""
        now = self._clock.now()
        for each in list(self._kept.values()):
            if each.due_at is not None and each.due_at <= now and not await self._write(each):
                return  # the others would wait for the same control plane

    @asynccontextmanager
    async def kept(
        self, assignment: Assignment, directory: AttemptDirectory
    ) -> AsyncIterator[None]:
        """
        Write the attempt's token, and have it renewed for the duration of a block.

        If the control plane does not answer, there is no file until it does: most tasks call nothing.
        """
        kept = self._kept[assignment.attempt] = _Kept(assignment, directory, self._clock.now())
        try:
            await self._write(kept)
            yield
        finally:
            del self._kept[assignment.attempt]
            async with self._writing:
                pass  # a write that has begun is over before the file is deleted

    async def _write(self, kept: _Kept) -> bool:
        """Write the current token; return whether the control plane and the disk answered."""
        attempt, lease = kept.assignment.attempt, kept.assignment.lease
        if self._find is None:
            kept.due_at = None
            return True
        try:
            token = await self._find(attempt, lease)
            text = SecretText("") if token is None else token.text
            async with self._writing:
                if self._kept.get(attempt) is kept:  # no file appears after the end
                    await asyncio.to_thread(kept.directory.write_token, text)
        except AttemptNotRunningError:
            kept.due_at = None  # it is about to be stopped
            return True
        except (TokenUnavailableError, OSError) as error:
            logger.warning(
                "attempt token not renewed", extra={"attempt": str(attempt), "detail": str(error)}
            )
            return False
        kept.due_at = self._clock.now() + _NOT_NEEDED_FOR if token is None else token.renew_at
        return True
