"""Why an action is where it is: words that are kept in its history."""

LEASE_RETURNED = "LeaseReturned"
"""The reason of the event that tells of a lease which no agent accepted."""
