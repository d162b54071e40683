"""
What faults cost: ``python -m benchmarks.faults``, or one part of it with ``--only``.

The processes, the load and the reckoning are those of ``tests/faults``; here they are
measured, at the control plane's usual pace.
"""
