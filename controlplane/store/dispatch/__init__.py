"""Dispatching of actions: enqueue, claims, leases, reports, outcomes, aborts, timeouts."""
