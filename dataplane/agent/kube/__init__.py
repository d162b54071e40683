"""
Kubernetes client of the agent, reduced to what it needs; only this package imports ``kubernetes``.

Objects are JSON as the API server sends it; ``objects`` defines kinds, labels and how an
object's name is computed from its attempt.
"""
