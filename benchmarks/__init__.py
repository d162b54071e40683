"""
Performance benchmarks: ``make bench`` runs all of them and prints tables with versions.

Nothing is asserted, because a shared machine is fast one minute and slow the next.
Compare figures of one run, and ratios between runs.
"""
