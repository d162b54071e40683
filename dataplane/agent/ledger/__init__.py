"""
Durable state of the agent: accepted assignments, and reports not yet acknowledged.

``ledger`` is the interface. It persists into a ``journal``: ``sqlite`` in the data directory
of an agent on one machine, ``taskactions`` in a cluster. Nothing here knows the link's frames.
"""
