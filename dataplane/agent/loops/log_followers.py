"""
Serves calls of the control plane that follow an attempt's log.

A call sends no more chunks than it has credit for, so a slow reader costs at most its
credit in memory. Calls end with their session.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dataplane.agent.core import link_limits
from dataplane.agent.runtimes.protocol import NoLogError
from shared.kit.wakeup import Wakeup
from shared.model.ids import AttemptId
from shared.model.link_messages import (
    Call,
    CallCancel,
    CallCredit,
    CallError,
    Done,
    FollowLogs,
    Reply,
)
from shared.model.logs import LogChunk

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Follower:
    task: "asyncio.Task[None]"
    credit: asyncio.Semaphore


class Followed(Protocol):
    """Source of attempts' logs: a runtime, or several."""

    def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        """Yield lines after ``after_line`` until the attempt ends; NoLogError if none."""


class LogFollowers:
    def __init__(self, logs: Followed, wakeup: Wakeup) -> None:
        self._logs = logs
        self._wakeup = wakeup
        self._by_call: dict[int, _Follower] = {}
        self._replies: deque[Reply] = deque()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve calls until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.get_running_loop().create_future()

    def begin(self, call: Call) -> None:
        if self._tasks is None:
            raise RuntimeError("calls are not being served")
        if call.request is None:
            self._reject(call, "unimplemented", "this agent does not know this call; upgrade it")
        elif len(self._by_call) >= link_limits.CALLS_AT_ONCE:
            self._reject(
                call, "resource_exhausted", "the agent serves too many calls; try again later"
            )
        elif call.id in self._by_call:
            self._reject(call, "already_exists", f"call {call.id} is under way")
        else:
            credit = asyncio.Semaphore(link_limits.CALL_CREDIT)
            task = self._tasks.create_task(
                self._follow(call.id, call.request, credit), name=f"call {call.id}"
            )
            self._by_call[call.id] = _Follower(task, credit)

    def extend(self, more: CallCredit) -> None:
        follower = self._by_call.get(more.call)
        if follower is not None:
            for _ in range(more.chunks):
                follower.credit.release()

    def cancel(self, cancel: CallCancel) -> None:
        follower = self._by_call.pop(cancel.call, None)
        if follower is not None:
            follower.task.cancel()

    def take_replies(self) -> Sequence[Reply]:
        replies = list(self._replies)
        self._replies.clear()
        return replies

    def end(self) -> None:
        """Cancel all calls, at the end of the session."""
        for follower in self._by_call.values():
            follower.task.cancel()
        self._by_call.clear()
        self._replies.clear()

    async def _follow(self, call: int, request: FollowLogs, credit: asyncio.Semaphore) -> None:
        try:
            async for chunk in self._logs.follow(request.attempt, request.after_line):
                if chunk.partial is not None and not request.partial_lines:
                    continue  # a control plane that would count it as a line
                await credit.acquire()
                self._reply(call, chunk)
            self._reply(call, Done())
        except NoLogError as error:
            self._reply(call, CallError("not_found", str(error)))
        except Exception:
            logger.exception("log follow failed", extra={"attempt": str(request.attempt)})
            self._reply(call, CallError("internal", "the agent failed; see the agent's log"))
        self._by_call.pop(call, None)

    def _reject(self, call: Call, code: str, message: str) -> None:
        self._reply(call.id, CallError(code, message))

    def _reply(self, call: int, answer: LogChunk | Done | CallError) -> None:
        self._replies.append(Reply(call, answer))
        self._wakeup.wake()
