"""
Runs one session over one stream: reads frames, performs effects, writes due messages.

A single writer asks the session handler for due messages at each wakeup, so nothing is
queued here: unsent messages are state elsewhere (outbox, accepted leases, replies).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Protocol

from dataplane.agent.core import session as sessions
from dataplane.agent.core.session import (
    Deliver,
    Effect,
    HeartbeatAcknowledged,
    Send,
    Session,
)
from dataplane.agent.link.frames import parse_frame, render_frame
from dataplane.agent.link.handler import SessionHandler
from shared.idl.agent.v1 import link_pb2
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.link_messages import (
    AgentMessage,
    Credit,
    DesiredState,
    Hello,
    Lease,
    Welcome,
)
from shared.model.link_session import End, State
from shared.wire.fields import BadMessageError

logger = logging.getLogger(__name__)


class Pipe(Protocol):
    """A bidirectional stream of frames; gRPC's in production."""

    async def write(self, frame: link_pb2.AgentFrame) -> None: ...
    def frames(self) -> AsyncIterator[link_pb2.ControlFrame]: ...


class SessionEnded(Exception):  # noqa: N818 - every session ends; it is no error
    """The session is over; ``end`` says why."""

    def __init__(self, end: End) -> None:
        super().__init__(end.message)
        self.end = end


class Stream:
    """One session over one pipe."""

    def __init__(self, pipe: Pipe, handler: SessionHandler, clock: Clock) -> None:
        self._pipe = pipe
        self._handler = handler
        self._clock = clock
        self._held: Sequence[Lease] = ()
        self._session: Session | None = None
        self._unsent: deque[AgentMessage] = deque()  # the session's own: a handful
        self.changed = Wakeup()  # woken by a welcome and by a new desired state
        self.skew = timedelta()  # how far the control plane's clock is ahead, by its welcome
        self.renew_serial = ""  # the certificate that the control plane wants renewed

    @property
    def welcomed(self) -> bool:
        """Whether the control plane sent a welcome, so that the next dial need not back off."""
        return self._session is not None and self._session.epoch > 0

    async def run(self, hello: Hello) -> End:
        """Run the session to its end."""
        self._held = await self._handler.begin()
        self._session, effects = sessions.greet(hello, self._clock.now())
        end = End("closed", "the control plane closed the stream")
        try:
            await self._carry_out(effects)
            # The body waits, not the end of the block: before Python 3.13 a child that fails
            # while the group is at its end leaves its parent looking cancelled for good.
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._write(), name="link.write")
                await self._read()
        except* SessionEnded as group:
            end = _first_end(group)
        finally:
            await self._handler.end()
        return end

    async def _read(self) -> None:
        async for frame in self._pipe.frames():
            try:
                message = parse_frame(frame)
            except BadMessageError as error:
                raise SessionEnded(End("bad_message", str(error))) from error
            if message is None:
                logger.warning("unknown frame skipped", extra={"epoch": self._current().epoch})
                continue
            session = self._current()
            self._session, effects = sessions.receive(
                session, message, self._held, self._clock.now()
            )
            if isinstance(message, Welcome):
                self.skew = message.server_time - self._clock.now()
                self.changed.wake()
                await self._handler.welcome(message)
            elif isinstance(message, DesiredState):
                self.renew_serial = message.renew_serial
                self.changed.wake()
            await self._carry_out(effects)
            self._handler.wakeup.wake()
        raise SessionEnded(End("closed", "the control plane closed the stream"))

    async def _write(self) -> None:
        while True:
            held, running = self._handler.holding()
            self._session, effects = sessions.tick(
                self._current(), self._clock.now(), held=held, running=running
            )
            await self._carry_out(effects)
            while self._unsent:
                await self._put(self._unsent.popleft())
            if self._current().state is State.OPEN:
                await self._send_due()
            await self._handler.wakeup.wait(at_most=self._pause())

    async def _send_due(self) -> None:
        """Send all due messages, then the credit, which depends on them."""
        while messages := self._handler.due():
            for message in messages:
                await self._put(message)
        self._session, total = sessions.extend_credit(self._current(), self._handler.capacity())
        if total is not None:
            await self._put(Credit(total))

    async def _put(self, message: AgentMessage) -> None:
        """Send one message; end the session if the peer does not read it within its timeout."""
        at_most = sessions.peer_timeout(self._current())
        try:
            async with asyncio.timeout(at_most.total_seconds()):
                await self._pipe.write(render_frame(message))
        except TimeoutError as error:
            end = End("slow", "the control plane does not read what the agent sends")
            raise SessionEnded(end) from error

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message):
                    self._unsent.append(message)
                case HeartbeatAcknowledged(at):
                    await self._handler.record_heartbeat(at)
                case Deliver(message):
                    await self._handler.take(message)
                case End():
                    raise SessionEnded(effect)

    def _pause(self) -> timedelta:
        return self._current().heartbeat_every / 4

    def _current(self) -> Session:
        if self._session is None:
            raise AssertionError("the session has not begun")
        return self._session


def _first_end(group: BaseExceptionGroup[SessionEnded]) -> End:
    first = group.exceptions[0]
    return _first_end(first) if isinstance(first, BaseExceptionGroup) else first.end
