"""The key of a trigger as columns of statements."""

from collections.abc import Sequence

from controlplane.core.triggers import TriggerKey

KEYS = {"project": "text", "domain": "text", "task_name": "text", "name": "text"}
SAME_KEY = """
t.org = n.org AND t.project = n.project AND t.domain = n.domain
AND t.task_name = n.task_name AND t.name = n.name
"""


def key_arrays(keys: Sequence[TriggerKey]) -> dict[str, object]:
    """Return keys as the arrays of ``KEYS``."""
    return {
        "project": [key.project for key in keys],
        "domain": [key.domain for key in keys],
        "task_name": [key.task_name for key in keys],
        "name": [key.name for key in keys],
    }


def key_values(key: TriggerKey) -> dict[str, object]:
    """Return a key as single values."""
    return {
        "project": key.project,
        "domain": key.domain,
        "task_name": key.task_name,
        "name": key.name,
    }
