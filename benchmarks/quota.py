"""Limits the CPU cores of the measured program with a cgroup; the rest is left to the server."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kube import cgroups

_PERIOD_MICROSECONDS = 20_000
_ONE_TREE = Path("/sys/fs/cgroup")  # cgroup v2
_CPU_TREE = _ONE_TREE / "cpu"  # cgroup v1


@contextmanager
def limited(cores: float | None) -> Iterator[Sequence[str]]:
    """Yield the command prefix that limits a program to ``cores`` cores; requires root."""
    if cores is None:
        yield []
        return
    quota = int(cores * _PERIOD_MICROSECONDS)
    with cgroups.made(f"volary-benchmark-{os.getpid()}") as name:
        if _CPU_TREE.exists():
            group = _CPU_TREE / name
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            group = _ONE_TREE / name
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_MICROSECONDS}")
        enter = f'echo $$ > {group / "cgroup.procs"} && exec "$0" "$@"'
        yield ["/bin/sh", "-c", enter]
