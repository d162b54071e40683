"""
Copies files between a task and a ``file://`` store, as the SDK does for buckets.

The SDK short-cuts local paths. ``from_local`` uploads nothing and returns a reference to the
task's own path, which vanishes with the attempt; ``download`` returns the stored file itself,
so that a task that edits its download changes the input of every other. Here both copy.
``named_remote`` takes the run's ``file:`` address for a path below the working directory;
here it is the path in the store, where other attempts find it.

The SDK loads this as a plugin of types (``flyte.plugins.types`` in pyproject.toml) when it is
initialised; outside a task on a ``file://`` store nothing is changed. Standard library and
``flyte`` only. Why, and what else was weighed: shared/blobs/DECISIONS.md, 6.
"""

import asyncio
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_RUN_BASE = "_U_RUN_BASE"
"""Base URI of the run's data, set by the agent: ``{store}/{org}/{project}/{domain}/{run}``."""
_SCHEME = "file://"


def install() -> None:
    """Replace the SDK's short-cuts in this process, if it is a task's on a ``file://`` store."""
    run_base = os.environ.get(_RUN_BASE, "")
    if not run_base.startswith(_SCHEME):
        return
    from flyte.io import Dir, File  # noqa: PLC0415 - only in a task

    files = _Files(org_base=Path(run_base.removeprefix(_SCHEME)).parents[2], work=Path.cwd())
    for kind in (File, Dir):
        for name in ("from_local", "from_local_sync"):
            _replace(kind, name, functools.partial(_uploading, files))
        for name in ("download", "download_sync"):
            _replace(kind, name, functools.partial(_downloading, files))
    _replace(File, "named_remote", _naming)


def _replace(
    kind: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Replace a method with ``make(method)``, keeping it a classmethod if it was one."""
    original = kind.__dict__[name]
    if isinstance(original, classmethod):
        setattr(kind, name, classmethod(make(original.__func__)))
    else:
        setattr(kind, name, make(original))


class _Files:
    """Copies between a task's own files and the store below ``org_base``."""

    def __init__(self, *, org_base: Path, work: Path) -> None:
        self._org_base = org_base
        self._work = work  # the attempt's working directory, removed with it

    def find_target(self, path: Path) -> Path | None:
        """Return a new path in the task's raw data for ``path``; None if that is not local."""
        from flyte._context import internal_ctx  # noqa: PLC0415 - only in a task

        context = internal_ctx()
        if not context.has_raw_data or not path.exists():
            return None
        prefix = str(context.raw_data.path)
        if "://" in prefix and not prefix.startswith(_SCHEME):
            return None
        return Path(context.raw_data.get_random_remote_path(path.name))

    def fetch(self, stored: str) -> str | None:
        """Copy a stored file or directory for the task; None if it is not in the org's store."""
        source = Path(stored.removeprefix(_SCHEME))
        if not source.is_relative_to(self._org_base) or not source.exists():
            return None
        target = Path(tempfile.mkdtemp(prefix=".download-", dir=self._work)) / source.name
        copy(source, target)
        return str(target)


def copy(source: Path, target: Path) -> None:
    """Copy a file, or the files below a directory, without modes and times, as a bucket does."""
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in source.rglob("*"):
        if path.is_file():
            copy(path, target / path.relative_to(source))


def _uploading(files: _Files, original: Callable[..., Any]) -> Callable[..., Any]:
    def begin(
        path: str | Path, destination: str | None, hash_method: object
    ) -> tuple[Path, Path | None, str | None]:
        """Return the source, the target to copy to here, and the destination for the SDK."""
        local = Path(os.path.normpath(path))
        target = files.find_target(local) if destination is None else None
        if target is None:
            return Path(path), None, destination
        if hash_method is None or isinstance(hash_method, str):
            return local, target, None
        return local, None, str(target)  # the SDK computes hashes only of what it copies itself

    if original.__name__.endswith("_sync"):

        @functools.wraps(original)
        def from_local_sync(
            cls: type,
            local_path: str | Path,
            remote_destination: str | None = None,
            *args: Any,
            **more: Any,
        ) -> Any:
            local, target, destination = begin(
                local_path, remote_destination, _hash_method(cls, args, more)
            )
            if target is not None:
                copy(local, target)
            return original(cls, str(target or local), destination, *args, **more)

        return from_local_sync

    @functools.wraps(original)
    async def from_local(
        cls: type,
        local_path: str | Path,
        remote_destination: str | None = None,
        *args: Any,
        **more: Any,
    ) -> Any:
        local, target, destination = begin(
            local_path, remote_destination, _hash_method(cls, args, more)
        )
        if target is not None:
            await asyncio.to_thread(copy, local, target)
        return await original(cls, str(target or local), destination, *args, **more)

    return from_local


def _naming(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def named_remote(cls: type, name: str) -> Any:
        file = original(cls, name)
        _, separator, path = file.path.partition("/file:/")
        if separator:
            file.path = f"/{path}"
            Path(file.path).parent.mkdir(parents=True, exist_ok=True)
        return file

    return named_remote


def _hash_method(cls: type, args: tuple[Any, ...], more: dict[str, Any]) -> object:
    """Return the ``hash_method`` argument of ``File.from_local``; None for a Dir, which has none."""
    from flyte.io import File  # noqa: PLC0415 - only in a task

    if not issubclass(cls, File):
        return None
    return args[0] if args else more.get("hash_method")


def _downloading(files: _Files, original: Callable[..., Any]) -> Callable[..., Any]:
    if original.__name__.endswith("_sync"):

        @functools.wraps(original)
        def download_sync(self: Any, local_path: str | Path | None = None) -> Any:
            if local_path is None and (copied := files.fetch(self.path)) is not None:
                return copied
            return original(self, local_path)

        return download_sync

    @functools.wraps(original)
    async def download(self: Any, local_path: str | Path | None = None) -> Any:
        if local_path is None:
            copied = await asyncio.to_thread(files.fetch, self.path)
            if copied is not None:
                return copied
        return await original(self, local_path)

    return download
