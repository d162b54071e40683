"""Limits of the Kubernetes client: counts are items, sizes bytes, durations ``timedelta``."""

from datetime import timedelta

# Concurrent requests; watches and logs are not counted, their callers are. Enough for 300 a
# second, an agent's maximum, at 100 ms each; more would queue in the API server, and the
# renewal of the agent's Lease behind them.
CALLS_AT_ONCE = 32
CALL_TIMEOUT = timedelta(seconds=15)  # one try
LIST_TIMEOUT = timedelta(seconds=60)  # one page
TOKEN_READ_EVERY = timedelta(minutes=1)  # between reads of a token file or kubeconfig
CONNECT_TIMEOUT = timedelta(seconds=10)
RETRY_TIMEOUT = timedelta(seconds=30)  # for all tries of one call together
RETRY_FIRST = timedelta(milliseconds=100)
RETRY_AT_MOST = timedelta(seconds=10)
RETRY_AFTER_AT_MOST = timedelta(seconds=60)  # cap on the server's Retry-After

PAGE_ITEMS = 250
ANSWER_BYTES = 128 * 1024 * 1024  # of one answer; a page of the largest pods is half of it
ERROR_BYTES = 64 * 1024
READ_BYTES = 2 * 1024 * 1024  # read buffer of a connection
CHANGE_BYTES = 8 * 1024 * 1024  # of one line of a watch; etcd's objects have 1.5 MiB

WATCH_LASTS = timedelta(seconds=50)  # then the server ends the watch and a new one resumes
WATCH_MARGIN = timedelta(seconds=10)  # a watch that lasts longer by this is on a dead connection
RELIST_AT_MOST = timedelta(seconds=30)  # between two tries to list

EVENTS_OF_ATTEMPT = 100  # the latest
DELETED_OF_ATTEMPT = 16  # deleted objects; the latest
ATTEMPTS_WITH_EVENTS = 4096  # attempts without a waiter

NAMESPACE_SEEN_FOR = timedelta(minutes=1)  # then it is read again: its owner may have changed
