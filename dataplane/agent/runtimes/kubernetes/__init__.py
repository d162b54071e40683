"""
Run tasks on Kubernetes: one pod per task, or a custom resource whose operator creates the
pods.

``plugin`` is the interface of a task type, ``plugins`` holds one small file per task type,
``pods`` builds pod specs, ``runtime`` and ``reconciler`` do what all types share: create the
resource, watch it, classify its end, delete it.
"""
