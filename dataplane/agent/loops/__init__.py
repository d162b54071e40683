"""Long-running services of the agent."""
