"""
Whether the sidecar hears signals yet: the kubelet asks before it starts the task.

The first process of a container does not have the signals that it has not asked for; not
even SIGTERM. A task that ends while its sidecar still starts would end unheard.
"""

import signal
from pathlib import Path

_STATUS = Path("/proc/1/status")


def hears_sigterm(status: Path = _STATUS) -> bool:
    """Look at the container's first process; ``status`` is as proc(5) has it."""
    for line in status.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) >> (signal.SIGTERM - 1) & 1)
    return False
