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
    RECONCILING_INVENTORY = auto()  # welcomed; the inventory is on its way
    OPEN = auto()


class FrameKind(StrEnum):
    HELLO = "hello"
    INVENTORY = "inventory"
    LAST_INVENTORY = "last inventory"
    CREDIT = "credit"
    ACCEPTED = "accepted"
    REPORTS = "reports"
    HEARTBEAT = "heartbeat"
    REPLY = "reply"


NEXT: Mapping[State, Mapping[FrameKind, State]] = {
    State.GREETING: {FrameKind.HELLO: State.RECONCILING_INVENTORY},
    State.RECONCILING_INVENTORY: {
        FrameKind.INVENTORY: State.RECONCILING_INVENTORY,
        FrameKind.LAST_INVENTORY: State.OPEN,
        FrameKind.HEARTBEAT: State.RECONCILING_INVENTORY,
    },
    State.OPEN: {
        FrameKind.CREDIT: State.OPEN,
        FrameKind.ACCEPTED: State.OPEN,
        FrameKind.REPORTS: State.OPEN,
        FrameKind.HEARTBEAT: State.OPEN,
        FrameKind.REPLY: State.OPEN,
    },
}


class ProtocolError(Exception):
    """The agent said something its own contract forbids just then."""


def advance(state: State, kind: FrameKind) -> State:
    """Return the state after a frame; ProtocolError when it may not come now."""
    following = NEXT[state].get(kind)
    if following is None:
        raise ProtocolError(f"{kind} may not be said while {state.name.lower()}")
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


class InventoryDecision(Enum):
    """What becomes of an attempt that an agent holds."""

    KEEP = auto()  # it is its own
    STOP = auto()  # it is its own, and wanted stopped
    FORGET = auto()  # the lease has moved on: stop it, say nothing


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease as the store has it; ``stop_reason`` when its attempt is wanted stopped."""

    attempt: AttemptId
    lease: LeaseId
    stop_reason: str | None


def decide_inventory(
    inventory: Sequence[tuple[AttemptId, LeaseId]], held: Mapping[ActionId, LeaseRecord]
) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
    """
    Answer an inventory. What the store holds and the inventory lacks is not judged here:
    an agent that lists nothing has perhaps lost its memory, and that deletes nothing.
    """
    return [(attempt, lease, _decide(attempt, lease, held)) for attempt, lease in inventory]


def _decide(
    attempt: AttemptId, lease: LeaseId, held: Mapping[ActionId, LeaseRecord]
) -> InventoryDecision:
    known = held.get(attempt.action)
    if known is None or known.attempt != attempt or known.lease != lease:
        return InventoryDecision.FORGET
    return InventoryDecision.KEEP if known.stop_reason is None else InventoryDecision.STOP
