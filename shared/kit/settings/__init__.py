"""
Settings as fields of dataclasses, read from environment variables and command-line options.

A group of settings is a class, declared where its values are used:

    @settings("HTTP port")
    class HttpLimits:
        connections: int = setting(
            "VOLARY_HTTP_CONNECTIONS",
            kinds.whole_number(1, 1_000_000, unit="connections"),
            "The most client connections of one replica.",
            default=8192,
        )

``read`` builds a group, and the groups it contains, from the environment; SettingsError names
every setting that is missing or invalid, with its value unless it is secret, and what is
accepted. From the same declarations come the options of a command (``options``) and the page
``docs/settings.md`` (``scripts/settings.py``).

The package imports nothing that does input or output: pure packages declare settings too.
"""

from shared.kit.settings.declaring import (
    Group,
    Setting,
    chosen,
    groups_of,
    setting,
    settings,
    variables_of,
)
from shared.kit.settings.kinds import Kind
from shared.kit.settings.reading import (
    Given,
    SettingsError,
    UnknownVariable,
    find_unknown,
    read,
)

__all__ = [
    "Given",
    "Group",
    "Kind",
    "Setting",
    "SettingsError",
    "UnknownVariable",
    "chosen",
    "find_unknown",
    "groups_of",
    "read",
    "setting",
    "settings",
    "variables_of",
]
