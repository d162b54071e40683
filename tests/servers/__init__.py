"""Real servers for tests, started once for a session."""
