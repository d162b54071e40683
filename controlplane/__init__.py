"""
The hosted control plane.

Rooms, from the door inwards: ``api`` (Connect RPC for people and running code), ``link``
(agents' streams), ``web`` (browsers, probes, signed blobs) and ``loops`` (background
passes) ask ``usecases``; those ask ``store`` (Postgres), ``authn`` (who is calling) and
``feeds`` (what changed); ``core`` holds the rules and touches nothing. ``main`` builds
every object once; ``embedded`` adds a Postgres and an agent for ``volary up``.
"""
