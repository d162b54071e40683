"""
The link, simulated: real agents and real control planes on one event loop in virtual time.

What runs is the product: the agent's session, stream, keeper, attempts, fence and ledger
(its SQL included), the control plane's door, session, feeds, and the rules of both cores.
Made up are time, the wire, the processes that tasks run in, and Postgres, which is a model
of its guards (``model``) that a contract test holds to the real store. A schedule is a seed:
the same seed is the same run, to the last callback.
"""
