"""Limits of attempts on Kubernetes: counts are items, sizes bytes, durations ``timedelta``."""

from datetime import timedelta

from shared.kit.backoff import Backoff

WRITES_AT_ONCE = 32  # creations and deletions of attempts' resources under way
OBJECT_BYTES = 1_400_000  # of one resource; etcd takes 1.5 MiB, and status is to come
RECONCILE_INTERVAL = timedelta(seconds=30)  # of each attempt, even without a watch event
# Between two tries while a quota is used up.
QUOTA_BACKOFF = Backoff(first=timedelta(seconds=2), at_most=timedelta(seconds=60), jitter=0)
LOGS_AT_ONCE = 8  # captured; each has a few megabytes in memory
LOG_SOURCES = 32  # containers whose lines make up one attempt's log
LOG_SILENCE = timedelta(minutes=5)  # of a followed container, then it is followed again
LOG_POLL = timedelta(seconds=1)  # between two reads of the logs of several containers
LOG_DELAY = timedelta(seconds=2)  # lines are held back so long: clocks of nodes differ
LOG_PIECE = 1024 * 1024  # bytes of one container's log in one read
ENDED_REMEMBERED = 10_000  # attempts that are over, in case their logs are followed
LAST_LINES_BYTES = 8 * 1024  # of the last lines, kept while a pod is being deleted
