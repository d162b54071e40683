"""Ports are checked before anything starts."""

import socket

import pytest

from controlplane.embedded import ports
from controlplane.embedded.errors import UpError


def test_port_zero_takes_a_free_port() -> None:
    port = ports.require_free("127.0.0.1", 0, option="--http-port")
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_port_in_use_is_refused_naming_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UpError, match=rf"port {port} of 127\.0\.0\.1 is in use.*--link-port"):
            ports.require_free("127.0.0.1", port, option="--link-port")


def test_port_just_closed_counts_as_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address), server.accept()[0] as accepted:
            accepted.shutdown(socket.SHUT_RDWR)
    assert ports.require_free(address[0], address[1], option="--http-port") == address[1]
