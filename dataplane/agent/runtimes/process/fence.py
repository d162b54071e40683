"""Self-fencing deadline of a machine's replaceable attempts, in a file that its shims read."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from dataplane.agent.runtimes.process.process_identity import read_boot_id


@dataclass(frozen=True, slots=True)
class FenceFile:
    """
    Deadline after which attempts that may be restarted elsewhere must not run here.

    The agent extends it while the control plane answers; shims read it, because the agent
    may be dead. Times are seconds since boot: setting the clock does not move the deadline,
    and a file from before a reboot counts as expired.
    """

    path: Path

    def open_for(self, seconds: float) -> None:
        draft = self.path.with_name(".fence")
        draft.write_text(json.dumps([read_boot_id(), _uptime() + seconds]))
        draft.replace(self.path)

    @property
    def is_closed(self) -> bool:
        try:
            boot_id, until = json.loads(self.path.read_text())
            return bool(boot_id != read_boot_id()) or _uptime() >= float(until)
        except (OSError, TypeError, ValueError, RecursionError):
            return True  # an unreadable deadline counts as expired


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
