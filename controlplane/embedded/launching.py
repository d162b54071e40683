"""
Become another program: tied to the parent's life, and never as root when asked not to be.

Run as a script (``python -I -S launching.py [options] -- program arguments``), because
what it does must happen between fork and exec, and Python code between those two in a
process with threads can hang for ever. It imports the standard library only.

``--namespace``   lay root down by entering a user namespace in which we are nobody. Files
                  keep their owner and no account is needed; Linux only, and many
                  containers forbid it.
``--user UID``    lay root down by becoming that user.
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
    """Return the command line that becomes ``program`` under these terms."""
    terms: list[str] = []
    if parent is not None and sys.platform == "linux":
        terms += ["--parent", str(parent), "--signal", str(int(on_parent_death))]
    if namespace:
        terms += ["--namespace"]
    if user is not None:
        terms += ["--user", str(user)]
    return [sys.executable, "-I", "-S", __file__, *terms, "--", *program]


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
        raise OSError(ctypes.get_errno(), "cannot be tied to the parent")
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("--user", type=int)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("program", nargs="+")
    terms = parser.parse_args()
    if terms.namespace:
        _enter_user_namespace()
    if terms.user is not None:
        os.setgroups([])
        os.setgid(terms.user)
        os.setuid(terms.user)
    # Last, because a change of user undoes it.
    if terms.parent is not None:
        _die_with(terms.parent, terms.signal)
    os.execv(terms.program[0], terms.program)  # noqa: S606 - the very point, and no shell


if __name__ == "__main__":
    main()
