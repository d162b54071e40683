"""
Limits of one attempt, on every runtime: sizes are bytes, durations ``timedelta``.

Each keeps one task from using up the memory or the time that all others share.
"""

from datetime import timedelta

LINE_BYTES = 16 * 1024  # of one log line; the rest becomes the next
LOG_BYTES = 64 * 1024 * 1024  # of one attempt's log
LAST_LINES = 20  # quoted in a failure
ERROR_BYTES = 32 * 1024 * 1024  # of an error.pb
INPUTS_BYTES = 32 * 1024 * 1024  # of an inputs.pb that the agent itself reads
STOP_GRACE = timedelta(seconds=10)  # from SIGTERM to SIGKILL
SHIM_MARGIN = timedelta(seconds=15)  # past a task's grace: a shim that takes longer is killed
SHIM_LOOK_EVERY = timedelta(seconds=2)  # between checks whether a shim was suspended
ORPHANS_DIE_WITHIN = timedelta(seconds=10)  # from SIGKILL
START_TIMEOUT = timedelta(seconds=30)  # for a process to confirm that it has started
STORAGE_TIMEOUT = timedelta(minutes=5)  # for a store that does not answer
LOG_SHIPPING_TIMEOUT = timedelta(seconds=30)
