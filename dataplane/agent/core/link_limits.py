"""Limits of the agent's link: counts are items, sizes bytes, durations ``timedelta``."""

from datetime import timedelta

FRAME_ITEMS = 256  # leases, reports or assignments in one frame we send
FRAME_BYTES = 2 * 1024 * 1024  # of reports in one frame; one large report may exceed it
MAX_FRAME_BYTES = 64 * 1024 * 1024  # of one frame we accept; a batch may carry whole specs
REPORTS_IN_FLIGHT = 4096  # sent and not acknowledged; more wait in the outbox
PLENTY_OF_CREDIT = 256  # unused credit above which small increases are not announced
SILENT_INTERVALS = 3  # heartbeats missed before a session counts as dead
HEARTBEATS_UNNOTED = 64  # unacknowledged heartbeats whose sending times are remembered
GREETING_TIMEOUT = timedelta(seconds=20)  # from dialling to the last inventory decision
HEARTBEAT_FLOOR = timedelta(milliseconds=100)  # shorter intervals are raised to this
RECONNECT_FIRST = timedelta(milliseconds=200)
RECONNECT_AT_MOST = timedelta(seconds=30)
RECONNECT_SPREAD = timedelta(seconds=1)  # after a proper session ended
RETURN_AFTER = timedelta(minutes=10)  # after all attempts were ended: the org may be restored
END_ATTEMPTS_WITHIN = timedelta(minutes=10)  # longest wait for the ends before giving up

# Calls the control plane makes.
CALLS_AT_ONCE = 256
CALL_CREDIT = 8  # chunks a call may send before the reader extends its credit
CHUNK_LINES = 256
CHUNK_BYTES = 256 * 1024
