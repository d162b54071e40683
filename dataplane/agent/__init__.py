"""
The agent: connects to the control plane, accepts attempts, runs them, reports their status.

``core`` holds the rules and does no I/O; ``link`` is the gRPC stream to the control plane;
``runtimes`` run attempts (as local processes, as pods, as connector jobs); ``ledger`` persists
accepted attempts and their reports; ``loops`` are the long-running services.
"""
