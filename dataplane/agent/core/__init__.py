"""PURE. The agent's decisions: no input or output, no clock, no messages."""
