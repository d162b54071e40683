"""Every bound of this room: counts are items, sizes bytes, durations ``timedelta``."""

from datetime import timedelta

# Requests under way; watches and logs are not counted, their callers are. Enough for 300 a
# second, an agent's most, at 100 ms each; more would wait in the API server, and there the
# renewal of our Lease waits behind them.
CALLS_AT_ONCE = 32
CALL_TIMEOUT = timedelta(seconds=15)  # one try
LIST_TIMEOUT = timedelta(seconds=60)  # one page
TOKEN_READ_EVERY = timedelta(minutes=1)  # of a kubeconfig's user; programs say how long theirs last
CONNECT_TIMEOUT = timedelta(seconds=10)
RETRY_TIMEOUT = timedelta(seconds=30)  # for all tries of one call together
RETRY_FIRST = timedelta(milliseconds=100)
RETRY_AT_MOST = timedelta(seconds=10)
RETRY_AFTER_AT_MOST = timedelta(seconds=60)  # however long the server asks for

PAGE_ITEMS = 250
ANSWER_BYTES = 128 * 1024 * 1024  # of one answer; a page of the largest pods is half of it
ERROR_BYTES = 64 * 1024
READ_BYTES = 2 * 1024 * 1024  # of a connection, before its sender has to wait
CHANGE_BYTES = 8 * 1024 * 1024  # of one line of a watch; etcd's objects have 1.5 MiB

WATCH_LASTS = timedelta(seconds=50)  # then the server ends it and we go on where it was
WATCH_MARGIN = timedelta(seconds=10)  # silent for so much longer, the connection is dead
RELIST_AT_MOST = timedelta(seconds=30)  # between two tries to list

EVENTS_OF_ATTEMPT = 100  # the latest
DELETED_OF_ATTEMPT = 16  # objects, as they were deleted; the latest
ATTEMPTS_WITH_EVENTS = 4096  # of those that nobody waits for

NAMESPACE_SEEN_FOR = timedelta(minutes=1)  # then it is read again: somebody may have claimed it
