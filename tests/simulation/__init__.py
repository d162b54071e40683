"""
Simulates the link: real agents and control planes on one event loop in virtual time.

Product code: the agent's session, stream, session handler, attempts, fence and ledger (its SQL
included), the control plane's link service, sessions and feeds, and the rules of both cores.
Simulated: time, the wire, the processes that tasks run in, and Postgres, as a model of its
guards (``model``) that a contract test compares with the real store. A schedule is given by its
seed: the same seed is the same run, to the last callback.
"""
