"""Errors of the agent's configuration, as opposed to bugs."""


class SettingsError(Exception):
    """The agent cannot work with these settings; the message names the remedy."""
