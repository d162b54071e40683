"""
Speed, measured: ``make bench`` runs everything here and prints tables with versions.

Nothing here is a test and nothing is asserted: a shared machine is fast one minute and
slow the next. Compare figures of one run, and ratios between runs.
"""
