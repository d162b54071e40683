"""Protobuf schema of the agent link, between the control plane and its agents."""
