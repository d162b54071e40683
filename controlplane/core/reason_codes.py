"""The words, for machines, for why an action is where it is."""

from enum import StrEnum


class Reason(StrEnum):
    """Alphabetical. A sentence for people stands beside each wherever one is given."""

    ACCEPTED_NOT_STARTED = "accepted_not_started"  # its agent has it, and says no more
    BACKOFF = "backoff"  # the policy of its task says to wait before the next attempt
    CLUSTER_SILENT = "cluster_silent"  # its cluster is not heard
    DEADLOCK = "deadlock"  # limits wait for each other: nothing goes on by itself
    ENDED = "ended"
    FAIRNESS = "fairness"  # there is room, and it is shared with what waits beside it
    IMAGE = "image"  # its cluster cannot get its container image yet
    INITIALIZING = "initializing"
    LEASED_NOT_ACCEPTED = "leased_not_accepted"  # it was sent, and nobody has said "mine" yet
    NO_CLUSTER = "no_cluster"  # no cluster of its pool takes work
    NO_CREDIT = "no_credit"  # the clusters of its pool are full
    QUEUE_FULL = "queue_full"  # it runs; what it enqueues is refused until there is room
    QUEUE_LIMIT = "queue_limit"
    RUNNING = "running"
    RUN_LIMIT = "run_limit"
    SIGNAL = "signal"  # a condition waits for its answer
    STOPPING = "stopping"  # it is wanted stopped, and its cluster has not said that it is
    UNKNOWN = "unknown"  # read from a row that a later release wrote
    UNSCHEDULABLE = "unschedulable"  # its cluster finds no place for it
    WAITING_FOR_RESOURCES = "waiting_for_resources"


LEASE_RETURNED = "LeaseReturned"
"""The reason of the event that tells of a lease which no agent accepted."""
