"""The agent's end of the stream."""
