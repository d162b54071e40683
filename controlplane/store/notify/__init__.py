"""Change numbers, LISTEN/NOTIFY payloads, and calls forwarded between replicas."""
