"""
State machine of an agent's session: the frames allowed in each state, and credits for work.

``link.session`` reads the frames and carries out the results; it decides nothing. A frame that
the table does not allow is a protocol violation and ends the session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from shared.model.ids import ActionId, AttemptId, LeaseId

PROTOCOL = 1
"""Newest link protocol this release speaks; it accepts ``OLDEST_PROTOCOL`` and up."""
OLDEST_PROTOCOL = 1

MAX_INVENTORY = 200_000
MAX_ITEMS_IN_FRAME = 10_000
"""Most reports or leases in one frame; agents send hundreds."""
MAX_CREDIT_AHEAD = 10_000
"""Most unused credit an agent may grant, in assignments."""


class State(Enum):
    """States of an agent's session."""

    GREETING = auto()  # no frame received yet
    RECONCILING_INVENTORY = auto()  # welcome sent; inventory frames expected
    OPEN = auto()


class FrameKind(StrEnum):
    """Kinds of frames that an agent sends."""

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
    """The agent sent a frame that the link protocol forbids in this state."""


def advance(state: State, kind: FrameKind) -> State:
    """Return the state after a frame; ProtocolError when the state does not allow it."""
    following = NEXT[state].get(kind)
    if following is None:
        raise ProtocolError(f"frame {kind} is not allowed while {state.name.lower()}")
    return following


def require_frame_size(items: int) -> None:
    """Raise ProtocolError for a frame large enough to delay other agents' sessions."""
    if items > MAX_ITEMS_IN_FRAME:
        raise ProtocolError(f"a frame has {items} items; at most {MAX_ITEMS_IN_FRAME} are allowed")


@dataclass(frozen=True, slots=True)
class Versions:
    """Range of link protocols an agent speaks, inclusive."""

    oldest: int
    newest: int


def choose_protocol(agent: Versions) -> int | None:
    """Return the newest protocol that both sides speak; None when they share none."""
    newest = min(agent.newest, PROTOCOL)
    return newest if newest >= max(agent.oldest, OLDEST_PROTOCOL) else None


@dataclass(slots=True)
class Credits:
    """Flow control of assignments, in totals since the session began, so that none can leak."""

    granted: int = 0
    sent: int = 0

    @property
    def room(self) -> int:
        return max(0, self.granted - self.sent)

    def grant(self, total: int) -> None:
        """Record the agent's latest total; ProtocolError when it exceeds ``MAX_CREDIT_AHEAD``."""
        if total > self.sent + MAX_CREDIT_AHEAD:
            raise ProtocolError(
                f"credit for {total - self.sent} more assignments; at most {MAX_CREDIT_AHEAD} "
                "are allowed"
            )
        self.granted = total

    def spend(self, count: int) -> None:
        self.sent += count


class InventoryDecision(Enum):
    """Instruction to an agent for one attempt in its inventory."""

    KEEP = auto()  # its lease is current
    STOP = auto()  # its lease is current, and a stop is requested
    FORGET = auto()  # its lease is no longer valid: stop it without reporting


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease as stored; ``stop_reason`` is set when a stop of its attempt is requested."""

    attempt: AttemptId
    lease: LeaseId
    stop_reason: str | None


def decide_inventory(
    inventory: Sequence[tuple[AttemptId, LeaseId]], held: Mapping[ActionId, LeaseRecord]
) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
    """
    Decide for each attempt in an agent's inventory whether it is kept, stopped or forgotten.

    Leases that the inventory lacks are not decided here: an agent with an empty inventory may
    have lost its ledger, which must not delete anything.
    """
    return [(attempt, lease, _decide(attempt, lease, held)) for attempt, lease in inventory]


def _decide(
    attempt: AttemptId, lease: LeaseId, held: Mapping[ActionId, LeaseRecord]
) -> InventoryDecision:
    current = held.get(attempt.action)
    if current is None or current.attempt != attempt or current.lease != lease:
        return InventoryDecision.FORGET
    return InventoryDecision.KEEP if current.stop_reason is None else InventoryDecision.STOP
