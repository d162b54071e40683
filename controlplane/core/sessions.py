"""
One agent's session, as a table: what may be said when, and how much work it may be sent.

``link.session`` pumps the frames and carries out what follows; it decides nothing. A frame
the table does not allow means that the agent broke the protocol, and ends the session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from shared.model.ids import ActionId, AttemptId, LeaseId

PROTOCOL = 1
"""The link protocol this release speaks; it understands ``OLDEST_PROTOCOL`` too."""
OLDEST_PROTOCOL = 1

MAX_INVENTORY = 200_000
MAX_ITEMS_IN_FRAME = 10_000
"""Reports or leases; agents send hundreds."""
MAX_CREDIT_AHEAD = 10_000
"""How much more work than it was sent an agent may ask for at once."""


class State(Enum):
    GREETING = auto()  # nothing heard yet
    TAKING_STOCK = auto()  # welcomed; the inventory is on its way
    OPEN = auto()


class Said(StrEnum):
    HELLO = "hello"
    INVENTORY = "inventory"
    LAST_INVENTORY = "last inventory"
    CREDIT = "credit"
    ACCEPTED = "accepted"
    REPORTS = "reports"
    HEARTBEAT = "heartbeat"
    REPLY = "reply"


NEXT: Mapping[State, Mapping[Said, State]] = {
    State.GREETING: {Said.HELLO: State.TAKING_STOCK},
    State.TAKING_STOCK: {
        Said.INVENTORY: State.TAKING_STOCK,
        Said.LAST_INVENTORY: State.OPEN,
        Said.HEARTBEAT: State.TAKING_STOCK,
    },
    State.OPEN: {
        Said.CREDIT: State.OPEN,
        Said.ACCEPTED: State.OPEN,
        Said.REPORTS: State.OPEN,
        Said.HEARTBEAT: State.OPEN,
        Said.REPLY: State.OPEN,
    },
}


class ProtocolError(Exception):
    """The agent said something its own contract forbids just then."""


def advance(state: State, said: Said) -> State:
    """Return the state after a frame; ProtocolError when it may not come now."""
    following = NEXT[state].get(said)
    if following is None:
        raise ProtocolError(f"{said} may not be said while {state.name.lower()}")
    return following


def require_frame_size(items: int) -> None:
    """Take a frame of so many; ProtocolError for one that would hold up everybody else."""
    if items > MAX_ITEMS_IN_FRAME:
        raise ProtocolError(f"a frame of {items} items; at most {MAX_ITEMS_IN_FRAME} are taken")


@dataclass(frozen=True, slots=True)
class Versions:
    """The protocols an agent speaks, from the oldest to the newest."""

    oldest: int
    newest: int


def choose_protocol(agent: Versions) -> int | None:
    """Return the newest protocol both speak; None when there is none."""
    newest = min(agent.newest, PROTOCOL)
    return newest if newest >= max(agent.oldest, OLDEST_PROTOCOL) else None


@dataclass(slots=True)
class Credits:
    """What the agent has room for, in totals since the session began, so none can leak."""

    granted: int = 0
    sent: int = 0

    @property
    def room(self) -> int:
        return max(0, self.granted - self.sent)

    def grant(self, total: int) -> None:
        """Take the agent's latest total; ProtocolError when it asks for too much at once."""
        if total > self.sent + MAX_CREDIT_AHEAD:
            raise ProtocolError(
                f"credit for {total - self.sent} more assignments; at most {MAX_CREDIT_AHEAD}"
            )
        self.granted = total

    def spend(self, count: int) -> None:
        self.sent += count


class Judgement(Enum):
    """What becomes of an attempt that an agent holds."""

    KEEP = auto()  # it is its own
    STOP = auto()  # it is its own, and wanted stopped
    FORGET = auto()  # the lease has moved on: stop it, say nothing


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease as the store has it; ``stop_reason`` when its attempt is wanted stopped."""

    attempt: AttemptId
    lease: LeaseId
    stop_reason: str | None


def judge(
    inventory: Sequence[tuple[AttemptId, LeaseId]], held: Mapping[ActionId, HeldLease]
) -> Sequence[tuple[AttemptId, LeaseId, Judgement]]:
    """
    Answer an inventory. What the store holds and the inventory lacks is not judged here:
    an agent that lists nothing has perhaps lost its memory, and that deletes nothing.
    """
    return [(attempt, lease, _judge(attempt, lease, held)) for attempt, lease in inventory]


def _judge(attempt: AttemptId, lease: LeaseId, held: Mapping[ActionId, HeldLease]) -> Judgement:
    known = held.get(attempt.action)
    if known is None or known.attempt != attempt or known.lease != lease:
        return Judgement.FORGET
    return Judgement.KEEP if known.stop_reason is None else Judgement.STOP
