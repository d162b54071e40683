"""
Journal of an agent in a cluster: a TaskAction per attempt, ConfigMaps for shared data.

``codec`` converts an attempt to its TaskAction, ``writing`` writes one TaskAction, ``specs``
and ``facts`` (the agent's metadata) are the ConfigMaps, ``journal`` is the whole.
"""
