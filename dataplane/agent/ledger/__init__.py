"""
What the agent must not forget: accepted assignments, and reports not yet acknowledged.

SQLite, in the agent's data directory; one thread writes. ``ledger`` is what others use.
No messages, no network.
"""
