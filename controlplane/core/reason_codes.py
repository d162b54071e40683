"""Machine-readable reasons why an action is pending, running or stopped."""

from enum import StrEnum


class Reason(StrEnum):
    """Reason codes, alphabetical; each is always given together with a message for people."""

    ACCEPTED_NOT_STARTED = "accepted_not_started"  # its agent has reported no start yet
    BACKOFF = "backoff"  # its task's retry policy delays the next attempt
    CASCADE = (
        "cascade"  # descendants of an ended action end first; its run starts nothing meanwhile
    )
    CLUSTER_SILENT = "cluster_silent"  # its cluster has stopped sending heartbeats
    DEADLOCK = "deadlock"  # concurrency limits wait for each other; it does not resolve itself
    ENDED = "ended"
    EQUAL_ACTION = "equal_action"  # an equal action runs, whose outputs it gets
    FAIRNESS = "fairness"  # capacity is free, and shared round-robin with other waiting runs
    IMAGE = "image"  # its cluster cannot pull its container image yet
    INITIALIZING = "initializing"
    LEASED_NOT_ACCEPTED = "leased_not_accepted"  # it was sent, and no agent has accepted it yet
    NO_CLUSTER = "no_cluster"  # no cluster of its pool takes work
    NO_CREDIT = "no_credit"  # the clusters of its pool are at capacity
    QUEUE_FULL = "queue_full"  # it runs; its enqueues are refused until the queue has capacity
    QUEUE_LIMIT = "queue_limit"
    RUNNING = "running"
    RUN_LIMIT = "run_limit"
    SIGNAL = "signal"  # a condition waits for its signal
    STOPPING = "stopping"  # a stop is requested, and its cluster has not confirmed it
    STORING_INPUTS = "storing_inputs"  # its run was created, and its inputs are being stored
    UNKNOWN = "unknown"  # read from a row that a later release wrote
    UNSCHEDULABLE = "unschedulable"  # its cluster's scheduler finds no node for it
    WAITING_FOR_RESOURCES = "waiting_for_resources"


LEASE_RETURNED = "LeaseReturned"
"""Reason of the event that records a lease which no agent accepted."""

REPORT_REFUSED = "ReportRefused"
"""Reason of the event that records a report whose lease was not current."""
