"""
Real processes under real faults: replicas, agents, Postgres, and proxies between them.

An independent ledger, into which every started process writes, is compared in the end with
what the control plane says happened. ``make test`` runs each kind of fault once, ``make
faults`` goes on for as long as it is told to.
"""
