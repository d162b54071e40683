"""
The journal of an agent in a cluster: TaskActions, and ConfigMaps for what they share.

``codec`` is how an attempt is written into its TaskAction, ``writing`` writes one of them,
``specs`` and ``metadata`` are the ConfigMaps, ``journal`` is all of it.
"""
