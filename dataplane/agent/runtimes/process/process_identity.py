"""A process that can be recognised later: pids are given out again, machines restart."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_STOPPED = ("T", "t")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    pid: int
    started_ticks: int  # since the machine started, as /proc tells it
    boot_id: str

    @classmethod
    def of_this_process(cls) -> Self:
        pid = os.getpid()
        ticks = read_started_ticks(pid)
        if ticks is None:
            raise OSError("/proc does not show this process; the process runtime needs Linux")
        return cls(pid, ticks, read_boot_id())

    def open_pidfd(self) -> int | None:
        """Return a descriptor that becomes readable when the process ends; None if it has."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # Checked after opening: from here on the descriptor cannot mean another process.
        if self._is_current():
            return descriptor
        os.close(descriptor)
        return None

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the process if it is still there."""
        descriptor = self.open_pidfd()
        if descriptor is None:
            return
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass  # it ended this moment, which is what a signal is for
        finally:
            os.close(descriptor)

    @property
    def is_alive(self) -> bool:
        descriptor = self.open_pidfd()
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    @property
    def is_stopped(self) -> bool:
        """Whether it was sent SIGSTOP, or is being traced, and so does nothing."""
        fields = read_stat(self.pid)
        return fields is not None and fields[0] in _STOPPED and self._is_current()

    @property
    def holds_pid(self) -> bool:
        """Whether its pid, and so its session, has not become another's."""
        same_boot = read_boot_id() == self.boot_id
        return same_boot and read_started_ticks(self.pid) in {None, self.started_ticks}

    def _is_current(self) -> bool:
        same_boot = read_boot_id() == self.boot_id
        return same_boot and read_started_ticks(self.pid) == self.started_ticks


def read_boot_id() -> str:
    """Return what tells this run of the machine from all others."""
    return _BOOT_ID.read_text().strip()


def read_stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()  # the name before may hold anything


def read_started_ticks(pid: int) -> int | None:
    fields = read_stat(pid)
    return None if fields is None else int(fields[19])
