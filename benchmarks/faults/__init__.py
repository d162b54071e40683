"""
Benchmarks under faults: ``python -m benchmarks.faults``, or one part of it with ``--only``.

The processes, the load and the final check are those of ``tests/faults``; here they are
measured, with the control plane's default timings.
"""
