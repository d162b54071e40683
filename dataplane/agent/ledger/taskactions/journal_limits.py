"""Limits of the TaskAction journal: counts are items, sizes bytes, durations ``timedelta``."""

from datetime import timedelta

METADATA_MIN_INTERVAL = timedelta(seconds=1)  # one write for all changes since the last
METADATA_MAX_INTERVAL = timedelta(minutes=1)  # until a refused write is retried
REFUSED_AGAIN_AFTER = timedelta(seconds=10)  # until a refused write that must be made is retried
DELETES_AT_ONCE = 8  # of TaskActions whose retention is over
ENDED_TASKACTIONS_KEPT = 5_000  # TaskActions, and pods with them, kept for people to inspect
CLOSING = timedelta(seconds=2)  # to finish unwritten changes; less than the next leader waits
EVENTS_BYTES = 256 * 1024  # of one report's events; etcd takes 1.5 MiB for the whole object
