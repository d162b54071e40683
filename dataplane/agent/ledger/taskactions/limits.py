"""Every bound of this room: counts are items, sizes bytes, durations ``timedelta``."""

from datetime import timedelta

METADATA_MIN_INTERVAL = timedelta(seconds=1)  # facts are written once for all that changed since
METADATA_MAX_INTERVAL = timedelta(minutes=1)  # those whose writing was refused
REFUSED_AGAIN_AFTER = timedelta(seconds=10)  # a write that the API refuses and must be made
DELETES_AT_ONCE = 8  # of TaskActions whose retention is over
ENDED_TASKACTIONS_KEPT = 5_000  # TaskActions, and pods with them, that stay for people to look at
CLOSING = timedelta(seconds=2)  # for what is not yet written; less than the next leader waits
EVENTS_BYTES = 256 * 1024  # of one report's events; etcd takes 1.5 MiB for the whole object
