"""
The hosted control plane.

Packages, from the network inwards: ``api`` (Connect RPC for people and running code), ``link``
(agents' gRPC streams), ``web`` (browsers, probes, signed blobs) and ``loops`` (background
passes) call ``usecases``; those call ``store`` (Postgres), ``authn`` (authentication of
callers) and ``feeds`` (change notifications); ``core`` holds the rules and does no input or
output. ``main`` builds every object once; ``embedded`` adds a Postgres and an agent for
``volary up``.
"""
