"""
``volary up``: runs everything on one machine.

A Postgres server from a wheel, the control plane in this process, an agent as its child.
This package starts, watches and stops those three, and owns the data directory.
Nothing here knows a run or an action.
"""
