"""
Startup probe of the sidecar: whether its SIGTERM handler is installed.

The kubelet starts the task after this probe succeeds. The kernel does not deliver signals
without a handler to a container's first process, not even SIGTERM, so the sidecar would
miss the end of a task that ends while the sidecar is still starting.
"""

import signal
from pathlib import Path

_STATUS = Path("/proc/1/status")


def handles_sigterm(status: Path = _STATUS) -> bool:
    """Whether the process catches SIGTERM; ``status``: its /proc/<pid>/status, see proc(5)."""
    for line in status.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) >> (signal.SIGTERM - 1) & 1)
    return False
