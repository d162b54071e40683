"""Addresses of clients behind proxies, and the port in the clear that is for proxies only."""

from ipaddress import ip_network
from typing import Any

import pytest

from controlplane.web.peers import Peers

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def scope(peer: str, *headers: tuple[str, str], path: str = "/x") -> dict[str, Any]:
    return {
        "client": (peer, 4711),
        "scheme": "http",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7:51234"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("fd00::1", ["203.0.113.7"], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.66, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.66", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, not-an-address, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.7\r\nforged"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("203.0.113.9", ["198.51.100.66"], "203.0.113.9"),  # not a proxy: its header is ignored
    ],
)
def test_peer_is_the_last_address_that_no_trusted_proxy_has(
    peer: str, forwarded: list[str], client: str
) -> None:
    request = scope(peer, *[("x-forwarded-for", each) for each in forwarded])
    assert Peers(PROXIES).find_refusal(request) is None
    assert request["client"][0] == client


def test_peer_of_a_program_without_proxies_is_never_replaced() -> None:
    request = scope("10.0.0.1", ("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https"))
    assert Peers().find_refusal(request) is None
    assert (request["client"][0], request["scheme"]) == ("10.0.0.1", "http")


@pytest.mark.parametrize(
    ("peer", "scheme", "path", "refused"),
    [
        ("10.0.0.1", "https", "/x", ""),
        ("10.0.0.1", "http", "/x", "use https://"),
        ("10.0.0.1", "http", "/healthz", ""),
        ("203.0.113.9", "https", "/x", "VOLARY_TRUSTED_PROXIES"),
        ("203.0.113.9", "https", "/readyz", ""),
    ],
)
def test_port_in_the_clear_serves_proxies_that_were_asked_by_https(
    peer: str, scheme: str, path: str, refused: str
) -> None:
    request = scope(peer, ("x-forwarded-proto", scheme), path=path)
    refusal = Peers(PROXIES, requires_proxy=True).find_refusal(request)
    assert (refusal is None) == (not refused)
    assert refusal is None or refused in refusal.message
