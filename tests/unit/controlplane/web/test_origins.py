"""Host and Origin checks of a control plane without logins."""

import pytest

from controlplane.web.origins import OriginCheck

CHECK = OriginCheck("https://volary.example.com")
OURS = [
    "localhost",
    "localhost:8100",
    "LocalHost:9000",
    "127.0.0.1:8100",
    "127.8.9.10",
    "[::1]:8100",
    "[::1]",
    "volary.example.com",
    "volary.example.com:443",
]
FOREIGN = [
    "",
    "evil.example:8100",
    "localhost.evil.example",
    "volary.example.com.evil.example",
    "127.0.0.1.nip.io",
    "localhost:8100@evil.example",
    "localhost:evil",
    "192.168.1.4:8100",
    "0.0.0.0:8100",
    "[::]:8100",
    "[::1",
    "127.1",
    "2130706433",
    "\xff",
    "localhost, evil.example",
]


def status(**headers: str) -> int | None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    refusal = CHECK.find_refusal(raw)
    return None if refusal is None else refusal.status.value


@pytest.mark.parametrize("host", OURS)
def test_host_of_loopback_and_of_the_public_url_is_answered(host: str) -> None:
    assert status(host=host) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_any_other_host_is_misdirected(host: str) -> None:
    refusal = CHECK.find_refusal([(b"host", host.encode("latin-1"))])
    assert refusal is not None
    assert refusal.status == 421
    assert "VOLARY_PUBLIC_URL" in refusal.message
    assert "volary.example.com" in refusal.message


def test_request_without_one_host_is_bad() -> None:
    assert status() == 400
    refusal = CHECK.find_refusal([(b"host", b"localhost"), (b"host", b"evil.example")])
    assert refusal is not None
    assert refusal.status == 400


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8100", "http://localhost:8100"),
        ("localhost", "http://localhost"),
        ("127.0.0.1:8100", "http://127.0.0.1:8100"),
        ("[::1]:8100", "http://[::1]:8100"),
        ("volary.example.com", "https://volary.example.com"),
        ("127.0.0.1:8100", "https://volary.example.com"),  # a proxy that does not pass the host
        ("localhost:443", "https://localhost"),
    ],
)
def test_own_origin_is_answered(host: str, origin: str) -> None:
    assert status(host=host, origin=origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://evil.example:8100",
        "http://localhost:3000",
        "https://localhost:8100.evil.example",
        "http://volary.example.com",  # not by TLS: anybody on the way could have made that page
        "null",
        "",
        "file://",
        "chrome-extension://abcdef",
        "http://localhost:8100/path",
        "http://localhost:8100 http://evil.example",
    ],
)
def test_foreign_origin_is_refused(origin: str) -> None:
    assert status(host="localhost:8100", origin=origin) == 403


def test_origins_of_a_request_are_checked() -> None:
    own, foreign = (b"origin", b"http://localhost"), (b"origin", b"http://evil.example")
    for origins in ([own, foreign], [foreign, own]):
        refusal = CHECK.find_refusal([(b"host", b"localhost"), *origins])
        assert refusal is not None
        assert refusal.status == 403


@pytest.mark.parametrize(
    ("site", "refused"),
    [
        ("cross-site", 403),
        ("Cross-Site", 403),
        ("same-origin", None),
        ("none", None),  # typed into the address bar
    ],
)
def test_request_of_another_site_is_refused(site: str, refused: int | None) -> None:
    assert status(host="localhost:8100", sec_fetch_site=site) == refused
