"""
The Kubernetes runtime: a task is a pod, or a resource that some operator makes pods of.

``plugin`` is what a task type has to say, ``plugins`` one small file for each, ``pods`` how
a pod is built, ``runtime`` what is common to all: make, watch, judge, remove.
"""
