"""Calls of managers that return one secret each, a few at a time."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from shared.kit.secrets import SecretBytes

AT_ONCE = 8
"""Calls under way; also the connections that a manager's client keeps."""


def read_each(
    ids: Sequence[str], read: Callable[[str], SecretBytes | None]
) -> Mapping[str, SecretBytes]:
    """Return the values that ``read`` returns; its first exception, once all calls have ended."""
    if len(ids) == 1:
        values = [read(ids[0])]
    else:
        with ThreadPoolExecutor(min(AT_ONCE, len(ids)), "secret-manager") as threads:
            values = list(threads.map(read, ids))
    return {each: value for each, value in zip(ids, values, strict=True) if value is not None}
