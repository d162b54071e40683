"""A connector's task, from the SDK through control plane and agent to the connector."""
