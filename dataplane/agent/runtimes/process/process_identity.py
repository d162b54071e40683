"""Identifies a process across reuse of its pid and reboots of the machine."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_STOPPED = ("T", "t")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """A pid with the process's start time and the boot's id, so that a reused pid is noticed."""

    pid: int
    started_ticks: int  # clock ticks since boot, field 22 of /proc/<pid>/stat
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
        """Send a signal to the process unless it has ended."""
        descriptor = self.open_pidfd()
        if descriptor is None:
            return
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass  # it has just ended
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
        """Whether the process is suspended, by SIGSTOP or by a tracer."""
        fields = read_stat(self.pid)
        return fields is not None and fields[0] in _STOPPED and self._is_current()

    @property
    def holds_pid(self) -> bool:
        """Whether the pid, and so the session of that id, has not been reused."""
        same_boot = read_boot_id() == self.boot_id
        return same_boot and read_started_ticks(self.pid) in {None, self.started_ticks}

    def _is_current(self) -> bool:
        same_boot = read_boot_id() == self.boot_id
        return same_boot and read_started_ticks(self.pid) == self.started_ticks


def read_boot_id() -> str:
    """Return the kernel's boot id, which changes with each reboot."""
    return _BOOT_ID.read_text().strip()


def read_stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on; None if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()  # the name before it may contain anything


def read_started_ticks(pid: int) -> int | None:
    fields = read_stat(pid)
    return None if fields is None else int(fields[19])
