"""
Limits of the agent, all in one place: anything without a limit here is not buffered.

Counts are items, sizes bytes, durations ``timedelta``. Each limit keeps one party (a slow
control plane, a task that logs a lot, a reader of logs) from using up the memory that all
others share.
"""

from datetime import timedelta

# The link.
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

# Calls the control plane makes.
CALLS_AT_ONCE = 256
CALL_CREDIT = 8  # chunks a call may send before the reader extends its credit
CHUNK_LINES = 256
CHUNK_BYTES = 256 * 1024

# Work.
INLINE_AT_ONCE = 2000  # attempts that need no process
STALLED_AFTER = timedelta(seconds=10)  # no process started or ended: ask for one more
MEMORY_FLOOR = 256 * 1024 * 1024  # less available than this: start nothing more
ENDED_REMEMBERED = 10_000  # attempts that are over, in case they are assigned again
SPECS_PARSED = 512

# The ledger.
COMMIT_OPERATIONS = 512  # batches written in one transaction
COMMITS_WAITING = 4096  # batches that may wait for the writing thread

# One attempt.
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

# Connectors: calls to one are bounded, as is what it may say.
CONNECTOR_MESSAGE_BYTES = 64 * 1024 * 1024  # inputs on their way, outputs on theirs
CONNECTOR_DIAL_TIMEOUT = timedelta(seconds=10)
CONNECTOR_CREATE_TIMEOUT = timedelta(seconds=60)  # of CreateTask and of DeleteTask
CONNECTOR_GET_TIMEOUT = timedelta(seconds=30)
CONNECTOR_POLL_MIN = timedelta(seconds=1)  # between two polls of a job, growing
CONNECTOR_POLL_MAX = timedelta(seconds=30)
CONNECTOR_UNAVAILABLE_TIMEOUT = timedelta(minutes=10)  # with a connector that does not answer
CONNECTOR_DELETE_TIMEOUT = timedelta(seconds=30)  # from DeleteTask to the end of the job
CONNECTOR_LOG_LINES = 10_000  # of one attempt's log
CONNECTOR_LOGS_KEPT = 256  # of attempts that are over

# Attempts in Kubernetes.
KUBE_WRITES_AT_ONCE = 32  # creations and deletions of attempts' resources under way
KUBE_OBJECT_BYTES = 1_400_000  # of one resource; etcd takes 1.5 MiB, and status is to come
KUBE_RECONCILE_INTERVAL = timedelta(seconds=30)  # of each attempt, even without a watch event
KUBE_QUOTA_RETRY_MIN = timedelta(seconds=2)  # between two tries while a quota is used up
KUBE_QUOTA_RETRY_MAX = timedelta(seconds=60)
KUBE_LOGS_AT_ONCE = 8  # captured; each has a few megabytes in memory
KUBE_LOG_SOURCES = 32  # containers whose lines make up one attempt's log
KUBE_LOG_SILENCE = timedelta(minutes=5)  # of a followed container, then it is followed again
KUBE_LOG_POLL = timedelta(seconds=1)  # between two reads of the logs of several containers
KUBE_LOG_DELAY = timedelta(seconds=2)  # lines are held back so long: clocks of nodes differ
KUBE_LOG_PIECE = 1024 * 1024  # bytes of one container's log in one read
KUBE_ENDED_REMEMBERED = 10_000  # attempts that are over, in case their logs are followed
KUBE_LAST_LINES_BYTES = 8 * 1024  # of the last lines, kept while a pod is being deleted
