"""Checks that ports are free before anything is started, for a clear error message."""

import errno
import socket

from controlplane.embedded.errors import UpError


def require_free(host: str, port: int, *, option: str) -> int:
    """Return ``port``, or a free one for 0; UpError names the option if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do: connections in TIME_WAIT do not make a port count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UpError(
                    f"port {port} of {host} is in use; stop the program that listens there, "
                    f"or choose another with {option} (0 takes a free one)"
                ) from error
            raise UpError(
                f"cannot listen on port {port} of {host} ({error.strerror}); "
                f"choose another with {option}"
            ) from error
        taken: int = probe.getsockname()[1]
        return taken
