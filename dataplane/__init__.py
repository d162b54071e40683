"""Programs that run in a customer's cluster: the ``agent``, and the ``copilot`` sidecar."""
