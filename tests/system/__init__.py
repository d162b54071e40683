"""
Acceptance tests of the user-visible behaviour, through the public interfaces.

The stack is ``volary up`` as a process, its clients are the unmodified ``flyte`` command,
the ``flyte`` package in a script, flyteidl2's own Connect clients and plain HTTP. Nothing
here imports the product. The workflows are in ``workflows/``, a behaviour each.
"""
