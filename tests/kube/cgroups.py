"""
The control group under which a node keeps its pods', made before and removed after.

Version 1 has a tree for each controller, and cpuset's begins without a processor; version 2
has one tree, in which a group may only use what its parent lets it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

_MOUNTED = Path("/sys/fs/cgroup")
_EMPTY_WITHIN_SECONDS = 20.0
_CONTROLLERS = frozenset({"cpu", "cpuset", "io", "memory", "pids"})


@contextmanager
def made(name: str) -> Iterator[str]:
    """Have a group of this name in every tree for the length of a block."""
    groups = [tree / name for tree in _trees()]
    for group in groups:
        group.mkdir()
        _make_usable(group)
    try:
        yield name
    finally:
        for group in groups:
            _remove(group)


def _trees() -> list[Path]:
    if (_MOUNTED / "cgroup.controllers").exists():
        return [_MOUNTED]
    trees = {tree.resolve() for tree in _MOUNTED.iterdir()}  # some have two names
    return sorted(tree for tree in trees if (tree / "cgroup.procs").exists())


def _make_usable(group: Path) -> None:
    for setting in ("cpuset.cpus", "cpuset.mems"):
        own, parents = group / setting, group.parent / setting
        if own.exists() and parents.exists():  # version 1: they are not inherited
            own.write_text(parents.read_text())
    for parent in (group.parent, group):
        usable = parent / "cgroup.controllers"
        if usable.exists():
            for controller in _CONTROLLERS.intersection(usable.read_text().split()):
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove(group: Path) -> None:
    """Remove groups from the leaves, once the last that was killed in them is gone."""
    deadline = monotonic() + _EMPTY_WITHIN_SECONDS
    below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for directory in [*below, group]:
        while True:
            try:
                directory.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or monotonic() > deadline:
                    raise
                sleep(0.02)
            else:
                break
