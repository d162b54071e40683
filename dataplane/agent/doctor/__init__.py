"""
The doctor: checks everything the agent depends on, and gives a remedy for each fault.

``permissions`` is the table of what the agent may do in its cluster: the chart's roles are
generated from it, and the doctor checks them one by one. A check only reads and never repairs;
each has a deadline; a failed check returns a ``CheckResult`` and never raises. The only thing
ever written is one small blob, which is deleted again.
"""
