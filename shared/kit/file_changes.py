"""Waits for changes of files that are replaced while a program runs, by programs or by Kubernetes."""

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from pathlib import Path

CHECK_INTERVAL = timedelta(minutes=1)
"""How often files are read without a notification: network file systems send none."""


async def watch_files(files: Collection[Path]) -> AsyncIterator[None]:
    """
    Yield when one of the files may have changed, and every ``CHECK_INTERVAL``.

    The caller reads them and compares: a notification may come for another file, twice, or not.
    """
    from watchfiles import awatch  # noqa: PLC0415  # only with files that are watched

    # The directories: a Secret's mount replaces a link in them, not the files.
    async for _ in awatch(
        *{file.parent for file in files},
        watch_filter=None,
        recursive=False,
        yield_on_timeout=True,
        rust_timeout=int(CHECK_INTERVAL.total_seconds() * 1000),
        debounce=200,
    ):
        yield None
