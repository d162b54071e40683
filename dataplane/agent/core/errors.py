"""What is wrong with how the agent is set up, and not with the agent."""


class SettingsError(Exception):
    """The agent cannot work as it is set up; the message names the remedy."""
