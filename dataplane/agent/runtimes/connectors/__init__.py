"""
Tasks that some other service runs, started and watched through a connector.

A connector is a small gRPC server of the SDK's (AsyncConnectorService) beside the agent.
``client`` speaks to one, ``endpoints`` knows which serves what, ``receipts`` makes sure
that a job is created once, ``runtime`` is the life of one attempt. Nothing here knows
Kubernetes.
"""
