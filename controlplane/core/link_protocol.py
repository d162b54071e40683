"""Rules of the link protocol for the control plane: versions, frame sizes, credit."""

from dataclasses import dataclass

from shared.model.link_session import ProtocolError

PROTOCOL = 1
"""Newest link protocol this release speaks; it accepts ``OLDEST_PROTOCOL`` and up."""
OLDEST_PROTOCOL = 1

MAX_ITEMS_IN_FRAME = 10_000
"""Most reports or leases in one frame; agents send hundreds."""
MAX_CREDIT_AHEAD = 10_000
"""Most unused credit an agent may grant, in assignments."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Range of link protocols an agent speaks, inclusive."""

    oldest: int
    newest: int


def choose_protocol(agent: Versions) -> int | None:
    """Return the newest protocol that both sides speak; None when they share none."""
    newest = min(agent.newest, PROTOCOL)
    return newest if newest >= max(agent.oldest, OLDEST_PROTOCOL) else None


def require_frame_size(items: int) -> None:
    """Raise ProtocolError for a frame large enough to delay other agents' sessions."""
    if items > MAX_ITEMS_IN_FRAME:
        raise ProtocolError(f"a frame has {items} items; at most {MAX_ITEMS_IN_FRAME} are allowed")


@dataclass(slots=True)
class Credits:
    """Flow control of assignments, in totals since the session began, so that none can leak."""

    granted: int = 0
    sent: int = 0

    @property
    def remaining(self) -> int:
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
