"""The control plane's end of agents' streams."""
