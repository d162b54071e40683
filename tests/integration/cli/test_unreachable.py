"""Addresses that are no control plane's, or not reached: one line that says why, and a code."""

import asyncio
import socket
from pathlib import Path

import pytest
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tests.integration.cli.world import Person
from tests.kube.certificates import Authority
from tests.servers.http import serving

UNREACHABLE = 5


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def person(tmp_path: Path, authority: Authority) -> Person:
    return Person(tmp_path / "home", authority.certificate)


async def refusal(person: Person, url: str, *options: str, code: int = 1, **env: str) -> str:
    done = await person.run("login", url, *options, **env)
    assert done.code == code, done.err
    assert done.out == ""
    [line] = done.err.splitlines()
    assert not person.config.exists()
    return line


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://volary.example.com", "is not encrypted"),
        ("https://user:password@volary.example.com", "has a user or password"),
        ("https://volary.example.com/console", "has a path"),
        ("ftp://volary.example.com", "is not an address"),
        ("https://host:port", "is not an address"),
    ],
)
async def test_address_that_cannot_be_used_is_refused(
    person: Person, url: str, reason: str
) -> None:
    line = await refusal(person, url)
    assert reason in line
    assert "password@" not in line


async def test_refused_connection_names_the_address(person: Person) -> None:
    with socket.socket() as bound:  # nothing listens on it
        bound.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{bound.getsockname()[1]}"
        assert f"no answer from {url}: connection refused" in await refusal(
            person, url, code=UNREACHABLE
        )


async def test_unknown_host_is_named(person: Person) -> None:
    line = await refusal(person, "https://volary.invalid", code=UNREACHABLE)
    assert "the name volary.invalid cannot be resolved" in line


async def test_untrusted_certificate_names_the_option(person: Person, authority: Authority) -> None:
    own = authority.issue("server", reached_at=["127.0.0.1"])
    answer = Response(status_code=404)
    async with serving(answer, certificate=own.certificate, key=own.key) as url:
        line = await refusal(person, url, code=UNREACHABLE)
        assert "its certificate is not trusted" in line
        assert "--ca-file" in line


async def test_certificate_of_another_name_is_refused(person: Person, authority: Authority) -> None:
    own = authority.issue("server", reached_at=["elsewhere.example"])
    ca = ("--ca-file", str(person.authority))
    async with serving(Response(), certificate=own.certificate, key=own.key) as url:
        line = await refusal(person, url, *ca, code=UNREACHABLE)
        assert "its certificate is not for 127.0.0.1" in line


async def test_plain_port_is_said_not_to_speak_tls(person: Person) -> None:
    async with serving(Response()) as url:
        line = await refusal(person, url.replace("http", "https"), code=UNREACHABLE)
        assert "it does not speak TLS" in line


@pytest.mark.parametrize(
    ("answer", "reason", "code"),
    [
        (HTMLResponse("<h1>Hello</h1>"), "not as a control plane does", 1),
        (RedirectResponse("https://elsewhere.example/"), "answers with status 307", 1),
        (Response(status_code=502), "answers with status 502; try again", UNREACHABLE),
        (
            Response('{"issuer": "https://other.example"}', media_type="application/json"),
            "run `volary login https://other.example`",
            1,
        ),
    ],
    ids=["another server", "a redirect", "a broken proxy", "another name"],
)
async def test_answer_that_is_no_control_planes_is_refused(
    person: Person, answer: Response, reason: str, code: int
) -> None:
    async with serving(answer) as url:
        assert reason in await refusal(person, url, code=code)


async def test_server_that_is_not_http_is_refused(person: Person) -> None:
    async def garble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01nonsense\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert "its answer is not HTTP" in await refusal(person, url, code=UNREACHABLE)


async def test_control_plane_without_logins_is_used_without_one(person: Person) -> None:
    async with serving(Response(status_code=404)) as url:
        done = await person.run("login", url)
        assert done.code == 0, done.err
        assert "has no logins" in done.err
        [context] = person.stored["contexts"].values()
        assert context == {"url": url}


@pytest.mark.parametrize(
    ("variables", "code", "reason"),
    [
        ({}, 4, "no control plane is selected"),
        ({"VOLARY_CONTEXT": "none"}, 4, "there is no context none"),
        ({"VOLARY_URL": "https://volary.invalid"}, 4, "run `volary login https://volary.invalid`"),
        ({"XDG_CONFIG_HOME": "/dev/null"}, 1, "cannot be read"),
    ],
)
async def test_command_without_a_login_says_how_to_get_one(
    person: Person, variables: dict[str, str], code: int, reason: str
) -> None:
    done = await person.run("whoami", **variables)
    assert done.code == code
    assert reason in done.err


async def test_https_goes_through_the_proxy_of_the_environment(person: Person) -> None:
    asked = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with proxy:
        port = proxy.sockets[0].getsockname()[1]
        line = await refusal(
            person,
            "https://volary.invalid",
            code=UNREACHABLE,
            https_proxy=f"http://127.0.0.1:{port}",
        )
    assert asked == [b"CONNECT volary.invalid:443 HTTP/1.0\r\n"]
    assert "403" in line
