"""
State machine of the agent's end of a link session: message in, new state and effects out.

``shared.model.link_session`` has the state table of both ends; ``link.stream`` performs the
effects and decides nothing. A message that the table does not allow ends the session (the peer
broke the protocol) and has no other effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dataplane.agent.core import link_limits
from shared.model.link_messages import (
    AgentMessage,
    Assignments,
    ControlMessage,
    DesiredState,
    Heartbeat,
    Hello,
    Inventory,
    Lease,
    Rejected,
    Welcome,
    Work,
)
from shared.model.link_session import (
    End,
    ProtocolError,
    State,
    advance,
    agent_frame,
    control_frame,
)


@dataclass(frozen=True, slots=True)
class Send:
    message: AgentMessage


@dataclass(frozen=True, slots=True)
class Deliver:
    """Pass the message to the agent's session handler."""

    message: Work


@dataclass(frozen=True, slots=True)
class HeartbeatAcknowledged:
    """The control plane acknowledged the heartbeat that was sent at ``at``."""

    at: datetime


Effect = Send | Deliver | HeartbeatAcknowledged | End


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """State of one session."""

    state: State
    started_at: datetime
    last_received_at: datetime
    sent_at: datetime
    epoch: int = 0  # 0: no welcome received yet
    cluster: str = ""
    heartbeat_every: timedelta = link_limits.GREETING_TIMEOUT
    heartbeats: int = 0  # sent
    unnoted: Sequence[tuple[int, datetime]] = ()  # number and time of unacknowledged heartbeats
    received: int = 0  # assignments, counted against the credit
    credit: int = 0  # the latest total announced
    leave_at: datetime | None = None  # when the control plane asked the agent to reconnect
    ends_attempts: str = ""  # why every attempt is ended, after which the session ends; "": none


def greet(hello: Hello, now: datetime) -> tuple[Session, Sequence[Effect]]:
    """Start a session with hello."""
    return _send(
        Session(state=State.GREETING, started_at=now, last_received_at=now, sent_at=now), [hello]
    )


def receive(
    session: Session, message: ControlMessage, held: Sequence[Lease], now: datetime
) -> tuple[Session, Sequence[Effect]]:
    """
    Return the session after ``message``; ``held`` are the leases for the inventory.

    Messages that were under way when the session ended are ignored.
    """
    if session.state is State.ENDED:
        return session, []
    try:
        state = advance(session.state, control_frame(message))
    except ProtocolError as error:
        return _end(session, "protocol", str(error))
    session = replace(session, state=state, last_received_at=now)
    match message:
        case Welcome():
            session = replace(
                session,
                epoch=message.epoch,
                cluster=message.cluster,
                heartbeat_every=max(message.heartbeat_every, link_limits.HEARTBEAT_FLOOR),
            )
            session, effects = _send(session, _inventory(held))
            return session, [HeartbeatAcknowledged(session.started_at), *effects]
        case Rejected():
            end = End(
                message.code,
                message.message,
                message.retry,
                end_attempts=message.end_attempts,
                retry_after=message.retry_after,
            )
            return session, [end]
        case Heartbeat():
            return _note(session, message)
        case DesiredState(reconnect_after=delay):
            session = replace(
                session,
                leave_at=None if delay is None else now + delay,
                ends_attempts=message.end_attempts,
            )
            return session, [Deliver(message)]
        case Assignments(assignments, unknown=unknown):
            received = session.received + len(assignments) + len(unknown)
            session = replace(session, received=received)
            if session.received > session.credit:
                return _end(
                    session,
                    "protocol",
                    f"{session.received} assignments were sent on a credit of {session.credit}",
                )
            return session, [Deliver(message)]
        case _:
            return session, [Deliver(message)]


def tick(
    session: Session, now: datetime, *, held: int = 0, running: int = 0
) -> tuple[Session, Sequence[Effect]]:
    """Advance the session's clock: send a due heartbeat, or end the session on a timeout."""
    if session.state is State.ENDED:
        return session, []
    # If the clock was set back, timeouts would otherwise wait until it has caught up.
    session = replace(
        session,
        started_at=min(session.started_at, now),
        last_received_at=min(session.last_received_at, now),
        sent_at=min(session.sent_at, now),
    )
    if session.state is not State.OPEN:
        if now - session.started_at >= link_limits.GREETING_TIMEOUT:
            return _end(session, "greeting_timeout", "the control plane did not finish greeting")
    elif now - session.last_received_at >= peer_timeout(session):
        return _end(session, "silent", "the control plane sent nothing within the timeout")
    if session.leave_at is not None and now >= session.leave_at:
        return _end(session, "reconnect", "the control plane asked the agent to reconnect")
    if session.ends_attempts and session.state is State.OPEN and not (held or running):
        end = End("attempts_ended", session.ends_attempts, retry_after=link_limits.RETURN_AFTER)
        return replace(session, state=State.ENDED), [end]
    if session.state is State.WELCOMING or now - session.sent_at < session.heartbeat_every / 2:
        return session, []
    number = session.heartbeats + 1
    unnoted = (*session.unnoted, (number, now))[-link_limits.HEARTBEATS_UNNOTED :]
    session = replace(session, heartbeats=number, sent_at=now, unnoted=unnoted)
    return _send(session, [Heartbeat(number=number, sent_at=now, held=held, running=running)])


def peer_timeout(session: Session) -> timedelta:
    """Return how long the peer may send nothing, or read nothing, before the session ends."""
    if session.state is not State.OPEN:
        return link_limits.GREETING_TIMEOUT
    return link_limits.SILENT_INTERVALS * session.heartbeat_every


def extend_credit(session: Session, capacity: int) -> tuple[Session, int | None]:
    """
    Return the total credit to announce for ``capacity`` more assignments; None if unchanged.

    Small increases are not announced while there is plenty of unused credit: each announcement
    makes the control plane look for work, and there would be one for each attempt that ends.
    """
    total = session.received + max(0, capacity)
    if session.state is not State.OPEN or total <= session.credit:
        return session, None
    unused = session.credit - session.received
    if unused >= link_limits.PLENTY_OF_CREDIT and 4 * unused >= 3 * capacity:
        return session, None
    return replace(session, credit=total), total


def _note(session: Session, heartbeat: Heartbeat) -> tuple[Session, Sequence[Effect]]:
    noted = [at for number, at in session.unnoted if number <= heartbeat.noted]
    unnoted = tuple(beat for beat in session.unnoted if beat[0] > heartbeat.noted)
    return replace(session, unnoted=unnoted), [HeartbeatAcknowledged(noted[-1])] if noted else []


def _send(session: Session, messages: Sequence[AgentMessage]) -> tuple[Session, Sequence[Effect]]:
    state = session.state
    for message in messages:
        state = advance(state, agent_frame(message))
    return replace(session, state=state), [Send(message) for message in messages]


def _end(session: Session, code: str, message: str) -> tuple[Session, Sequence[Effect]]:
    return replace(session, state=State.ENDED), [End(code, message)]


def _inventory(held: Sequence[Lease]) -> Sequence[Inventory]:
    chunks = [
        held[start : start + link_limits.FRAME_ITEMS]
        for start in range(0, len(held), link_limits.FRAME_ITEMS)
    ] or [()]
    return [Inventory(chunk, last=at == len(chunks) - 1) for at, chunk in enumerate(chunks)]
