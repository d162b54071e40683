"""
The agent: dials the control plane, takes attempts, runs them, says what happened.

``core`` decides and touches nothing; ``link`` speaks to the control plane; ``runtimes``
run attempts (as local processes; as pods one day); ``ledger`` writes down what was
accepted and said; ``loops`` keep all of it moving.
"""
