"""
What the agent must not forget: accepted assignments, and reports not yet acknowledged.

``ledger`` is what others use. It is written into a ``journal``: ``sqlite`` in the data directory
of an agent on one machine, ``taskactions`` in a cluster.
No messages of the link.
"""
