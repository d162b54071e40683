"""
Runtime for tasks that an external service runs, through the SDK's connectors.

A connector is a gRPC server of the SDK's (AsyncConnectorService) that runs next to the
agent. ``client`` calls one, ``endpoints`` discovers the task types that each serves,
``receipts`` makes sure that a job is created once, ``jobs`` creates, polls and deletes a
job, ``runtime`` runs attempts. Independent of Kubernetes.
"""
