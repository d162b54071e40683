"""
Execs another program that dies with its parent and, if asked, drops root first.

Run as a script (``python -I -S launching.py [options] -- program arguments``), because
these steps must happen between fork and exec, and Python code between those two in a
process with threads can hang for ever. It imports the standard library only.

``--namespace``   drop root by entering a user namespace as an unprivileged user. Files
                  keep their owner and no account is needed; Linux only, and many
                  containers forbid it.
``--user UID``    drop root by switching to that user.
``--parent PID``  have ``--signal`` sent when the parent dies; Linux only.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_UNPRIVILEGED = 65534


def command(
    program: list[str],
    *,
    parent: int | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
    namespace: bool = False,
    user: int | None = None,
) -> list[str]:
    """Return the command line that execs ``program`` with these options."""
    options: list[str] = []
    if parent is not None and sys.platform == "linux":
        options += ["--parent", str(parent), "--signal", str(int(on_parent_death))]
    if namespace:
        options += ["--namespace"]
    if user is not None:
        options += ["--user", str(user)]
    return [sys.executable, "-I", "-S", __file__, *options, "--", *program]


def _enter_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a user namespace: {os.strerror(number)}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_UNPRIVILEGED} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{_UNPRIVILEGED} {group} 1")


def _die_with(parent: int, number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot set the signal sent at the parent's death")
    if os.getppid() != parent:  # the parent died before prctl
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("--user", type=int)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    if options.namespace:
        _enter_user_namespace()
    if options.user is not None:
        os.setgroups([])
        os.setgid(options.user)
        os.setuid(options.user)
    # Last, because a change of user resets the parent-death signal.
    if options.parent is not None:
        _die_with(options.parent, options.signal)
    os.execv(options.program[0], options.program)  # noqa: S606 - its purpose, and no shell


if __name__ == "__main__":
    main()
