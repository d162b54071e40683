"""Until when what may be begun elsewhere may run here: a file, for all the shims of a machine."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from dataplane.agent.runtimes.process.process_identity import read_boot_id


@dataclass(frozen=True, slots=True)
class FenceFile:
    """
    Moved on by the agent as long as it is heard, looked at by shims, which may be alone.

    Times are those since the machine started: whoever sets its clock moves no fence, and
    what was written before a restart says nothing after it.
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
            return True  # unreadable: nobody vouches for us


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
