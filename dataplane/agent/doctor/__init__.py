"""
The doctor: looks at everything the agent depends on, and says what to do about the rest.

``permissions`` is the table of what the agent may do in its cluster: the chart's roles are
generated from it, and the doctor checks them one by one. A check looks and never repairs;
each has a deadline; one that fails says so in a ``CheckResult`` and never raises. The only thing
ever written is one small blob, which is deleted again.
"""
