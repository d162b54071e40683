"""The port that a browser's answer comes to, as browsers and strangers use it."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from controlplane.client import callback
from controlplane.client.callback import CallbackServer
from controlplane.client.errors import ClientError

STATE = "the-state"


@pytest.fixture
def server() -> Iterator[CallbackServer]:
    with callback.listening(STATE) as server:
        yield server


def address_of(server: CallbackServer, host: str = "127.0.0.1") -> str:
    return server.redirect_uri.replace("localhost", host)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_callback_page_shows_how_the_login_went(server: CallbackServer, host: str) -> None:
    with ThreadPoolExecutor() as browser:
        page = browser.submit(
            httpx.get, address_of(server, host), params={"state": STATE, "code": "c"}
        )
        answer = server.wait(60)
        assert answer.parameters == {"state": STATE, "code": "c"}
        answer.fail("the code has <expired>")
        shown = page.result(60)
    assert shown.status_code == 400
    assert "the code has &lt;expired&gt;" in shown.text
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "query", ["", "?code=c", "?code=c&state=other", f"?code=c&state={STATE}&state={STATE}"]
)
def test_callback_of_another_login_is_not_taken(server: CallbackServer, query: str) -> None:
    assert httpx.get(address_of(server) + query).status_code == 400
    assert httpx.get(address_of(server).replace("callback", "favicon.ico")).status_code == 404
    with pytest.raises(ClientError, match="no login arrived from the browser"):
        server.wait(0)


def test_idle_connection_of_a_browser_does_not_delay_the_callback(server: CallbackServer) -> None:
    port = int(server.redirect_uri.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)), ThreadPoolExecutor() as browser:
        page = browser.submit(httpx.get, address_of(server), params={"state": STATE, "code": "c"})
        server.wait(60).succeed("done")
        assert page.result(60).status_code == 200


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_port_in_use_is_named(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ClientError, match=f"port {port} of localhost cannot be used"),
            callback.listening(STATE, port),
        ):
            pass
