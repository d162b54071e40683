"""
The Kubernetes API, as narrow as the agent needs it: the one room that imports ``kubernetes``.

Objects are JSON as the API server sends it; ``objects`` names their kinds, labels and how
a name is computed from an attempt.
"""
