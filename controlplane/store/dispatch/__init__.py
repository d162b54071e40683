"""From Enqueue to the end of an attempt: queueing, claims, leases, reports, aborts."""
