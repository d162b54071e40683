"""
State table of the agent link: the frames that either end may send in each state.

Each end applies to its state the frames that it sends and those that it receives, in its own
order. The table is such that every frame that one end may send is allowed at the other end when
it arrives, whatever was in flight meanwhile; ``shared/idl/agent/v1/link.proto`` has the messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from shared.model.findings import Findings
from shared.model.link_messages import (
    Accepted,
    Acknowledgements,
    AgentMessage,
    Assignments,
    Call,
    CallCancel,
    CallCredit,
    Confirmed,
    ControlMessage,
    Credit,
    DesiredState,
    Heartbeat,
    Hello,
    Inventory,
    InventoryDecisions,
    Rejected,
    Reply,
    Reports,
    Stops,
    Welcome,
)


class State(Enum):
    """States of a link session; the values are their names in error messages."""

    GREETING = "greeting"  # the agent sends its hello
    WELCOMING = "welcoming"  # the control plane opens a session, or rejects the agent
    LISTING_INVENTORY = "listing inventory"  # the agent lists its leases
    RECONCILING_INVENTORY = "reconciling inventory"  # the control plane decides on each of them
    OPEN = "open"
    ENDED = "ended"


class AgentFrame(Enum):
    """Kinds of frames from the agent; the values are their names in error messages."""

    HELLO = "hello"
    INVENTORY = "inventory"
    LAST_INVENTORY = "last inventory"
    CREDIT = "credit"
    ACCEPTED = "accepted"
    REPORTS = "reports"
    HEARTBEAT = "heartbeat"
    REPLY = "reply"
    FINDINGS = "findings"


class ControlFrame(Enum):
    """Kinds of frames from the control plane; the values are their names in error messages."""

    WELCOME = "welcome"
    REJECTED = "rejection"
    INVENTORY_DECISIONS = "inventory decisions"
    LAST_INVENTORY_DECISIONS = "last inventory decisions"
    HEARTBEAT = "heartbeat"
    ASSIGNMENTS = "assignments"
    CONFIRMED = "confirmed"
    ACKNOWLEDGEMENTS = "acknowledgements"
    STOPS = "stops"
    DESIRED_STATE = "desired state"
    CALL = "call"
    CALL_CREDIT = "call credit"
    CALL_CANCEL = "call cancel"


FrameKind = AgentFrame | ControlFrame

# Stops and the desired state may overtake the inventory decisions; assignments may not.
NEXT: Mapping[State, Mapping[FrameKind, State]] = {
    State.GREETING: {
        AgentFrame.HELLO: State.WELCOMING,
        ControlFrame.REJECTED: State.ENDED,
    },
    State.WELCOMING: {
        ControlFrame.WELCOME: State.LISTING_INVENTORY,
        ControlFrame.REJECTED: State.ENDED,
    },
    State.LISTING_INVENTORY: {
        AgentFrame.INVENTORY: State.LISTING_INVENTORY,
        AgentFrame.LAST_INVENTORY: State.RECONCILING_INVENTORY,
        AgentFrame.HEARTBEAT: State.LISTING_INVENTORY,
        ControlFrame.HEARTBEAT: State.LISTING_INVENTORY,
        ControlFrame.STOPS: State.LISTING_INVENTORY,
        ControlFrame.DESIRED_STATE: State.LISTING_INVENTORY,
        ControlFrame.REJECTED: State.ENDED,
    },
    State.RECONCILING_INVENTORY: {
        AgentFrame.HEARTBEAT: State.RECONCILING_INVENTORY,
        ControlFrame.INVENTORY_DECISIONS: State.RECONCILING_INVENTORY,
        ControlFrame.LAST_INVENTORY_DECISIONS: State.OPEN,
        ControlFrame.HEARTBEAT: State.RECONCILING_INVENTORY,
        ControlFrame.STOPS: State.RECONCILING_INVENTORY,
        ControlFrame.DESIRED_STATE: State.RECONCILING_INVENTORY,
        ControlFrame.REJECTED: State.ENDED,
    },
    State.OPEN: {
        AgentFrame.CREDIT: State.OPEN,
        AgentFrame.ACCEPTED: State.OPEN,
        AgentFrame.REPORTS: State.OPEN,
        AgentFrame.HEARTBEAT: State.OPEN,
        AgentFrame.REPLY: State.OPEN,
        AgentFrame.FINDINGS: State.OPEN,
        ControlFrame.HEARTBEAT: State.OPEN,
        ControlFrame.ASSIGNMENTS: State.OPEN,
        ControlFrame.CONFIRMED: State.OPEN,
        ControlFrame.ACKNOWLEDGEMENTS: State.OPEN,
        ControlFrame.STOPS: State.OPEN,
        ControlFrame.DESIRED_STATE: State.OPEN,
        ControlFrame.CALL: State.OPEN,
        ControlFrame.CALL_CREDIT: State.OPEN,
        ControlFrame.CALL_CANCEL: State.OPEN,
        ControlFrame.REJECTED: State.ENDED,
    },
    State.ENDED: {},
}


class ProtocolError(Exception):
    """A frame that the state table does not allow; the text names its kind and the state."""


@dataclass(frozen=True, slots=True)
class End:
    """Reason why a session ends; ``retry``: reconnecting without a change may succeed."""

    code: str
    message: str
    retry: bool = True
    end_attempts: bool = False  # the agent is to end its attempts: org or identity are gone
    retry_after: timedelta | None = None  # reconnect after this time, not at once


def advance(state: State, kind: FrameKind) -> State:
    """Return the state after a frame; ProtocolError when the table does not allow the frame."""
    following = NEXT[state].get(kind)
    if following is None:
        sender = "agent" if isinstance(kind, AgentFrame) else "control plane"
        raise ProtocolError(f"the {sender} sent {kind.value} while {state.value}")
    return following


_AGENT_FRAMES: Mapping[type[AgentMessage], AgentFrame] = {
    Hello: AgentFrame.HELLO,
    Credit: AgentFrame.CREDIT,
    Accepted: AgentFrame.ACCEPTED,
    Reports: AgentFrame.REPORTS,
    Heartbeat: AgentFrame.HEARTBEAT,
    Reply: AgentFrame.REPLY,
    Findings: AgentFrame.FINDINGS,
}

_CONTROL_FRAMES: Mapping[type[ControlMessage], ControlFrame] = {
    Welcome: ControlFrame.WELCOME,
    Rejected: ControlFrame.REJECTED,
    Heartbeat: ControlFrame.HEARTBEAT,
    Assignments: ControlFrame.ASSIGNMENTS,
    Confirmed: ControlFrame.CONFIRMED,
    Acknowledgements: ControlFrame.ACKNOWLEDGEMENTS,
    Stops: ControlFrame.STOPS,
    DesiredState: ControlFrame.DESIRED_STATE,
    Call: ControlFrame.CALL,
    CallCredit: ControlFrame.CALL_CREDIT,
    CallCancel: ControlFrame.CALL_CANCEL,
}


def agent_frame(message: AgentMessage) -> AgentFrame:
    """Return the kind of an agent's message."""
    if isinstance(message, Inventory):
        return AgentFrame.LAST_INVENTORY if message.last else AgentFrame.INVENTORY
    return _AGENT_FRAMES[type(message)]


def control_frame(message: ControlMessage) -> ControlFrame:
    """Return the kind of a message of the control plane."""
    if isinstance(message, InventoryDecisions):
        last = message.last
        return ControlFrame.LAST_INVENTORY_DECISIONS if last else ControlFrame.INVENTORY_DECISIONS
    return _CONTROL_FRAMES[type(message)]
