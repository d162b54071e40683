"""Attacks on the HTTP port by TLS: floods of handshakes, bombs, slow readers, smuggling, tokens."""

import asyncio
import base64
import gzip
import json
import re
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.bearer_tokens import BearerTokens
from controlplane.authn.caller_cache import CallerCache
from controlplane.authn.revocations import Revocations
from controlplane.authn.signing_keys import TokenKeySet, make_key
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.web.http_limits import HttpLimits
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.integration.network.served import Served, put_blob, serve
from tests.running import until
from tests.servers.raw_http import connected, head_of

RPC = "/flyteidl2.workflow.RunService/CreateRun"
USER_INFO = "/flyteidl2.auth.IdentityService/UserInfo"
HEALTH = head_of("/healthz", method="GET")
HANDSHAKES = 5000
MEBIBYTE = 1024 * 1024


async def test_half_open_handshakes_by_the_thousand_leave_the_port_usable(
    database_url: str, tmp_path: Path
) -> None:
    limits = HttpLimits()
    loop = asyncio.get_running_loop()
    async with serve(database_url, tmp_path, limits=limits) as served:
        sockets = [socket.socket() for _ in range(HANDSHAKES)]
        try:
            for each in sockets:
                each.setblocking(False)
            for start in range(0, HANDSHAKES, 500):  # no more than wait to be accepted
                async with asyncio.TaskGroup() as connecting:
                    for each in sockets[start : start + 500]:
                        connecting.create_task(loop.sock_connect(each, served.address))
            await until(
                lambda: len(served.api.connections) == limits.connections_per_address,
                "no more than one address may have",
            )
            trust = served.files.trust()
            async with connected(served.api.url, source="127.0.0.2", trust=trust) as other:
                await other.send(HEALTH)
                assert (await other.read_answer()).status == 200
        finally:
            for each in sockets:
                each.close()
        await until(lambda: len(served.api.connections) == 0, "nothing is left of them")


async def test_body_of_a_hundred_megabytes_is_refused_before_it_is_read(served: Served) -> None:
    size = 100 * MEBIBYTE
    head = head_of(RPC, "content-type: application/proto", f"content-length: {size}")
    async with connected(served.api.url, trust=served.files.trust()) as client:
        taken = await client.send_all([head, *repeat(b"x" * MEBIBYTE, 100)])
    assert taken < 40 * MEBIBYTE
    await until(lambda: len(served.api.connections) == 0, "the connection is closed")


BOMBS = {
    "one member": (lambda: gzip.compress(bytes(200 * MEBIBYTE)), "resource_exhausted"),
    # Each within the limit; a request has one.
    "many members": (lambda: gzip.compress(bytes(8 * MEBIBYTE)) * 25, "invalid_argument"),
}


@pytest.mark.parametrize(("make", "code"), BOMBS.values(), ids=BOMBS.keys())
async def test_gzip_bomb_is_refused(served: Served, make: Callable[[], bytes], code: str) -> None:
    headers = {"content-type": "application/proto", "content-encoding": "gzip"}
    async with httpx.AsyncClient(base_url=served.api.url, verify=served.files.trust()) as http:
        answer = await http.post(RPC, content=make(), headers=headers)
    assert answer.json()["code"] == code


async def test_answer_that_is_not_read_is_cut(database_url: str, tmp_path: Path) -> None:
    limits = HttpLimits(read_within=timedelta(seconds=1))
    async with serve(database_url, tmp_path, limits=limits) as served:
        link = await put_blob(served, "large", bytes(64 * MEBIBYTE))
        async with connected(served.api.url, trust=served.files.trust()) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(head_of(link, method="GET"))
            await until(lambda: len(served.api.connections) == 0, "it is cut")


INNER = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
CHUNKED = f"0\r\n\r\n{INNER}"
SMUGGLED: Mapping[str, tuple[list[str], str]] = {
    "length and chunks": (["content-length: 6", "transfer-encoding: chunked"], CHUNKED),
    "chunks and length": (["transfer-encoding: chunked", "content-length: 6"], CHUNKED),
    "another encoding": (["transfer-encoding: xchunked", "content-length: 5"], CHUNKED),
    "chunks that are not last": (["transfer-encoding: chunked, identity"], CHUNKED),
    "two encodings": (["transfer-encoding: chunked", "transfer-encoding: x"], CHUNKED),
    "a space before the colon": (["transfer-encoding : chunked", "content-length: 5"], CHUNKED),
    "a tab in the encoding": (["transfer-encoding: \x0bchunked", "content-length: 5"], CHUNKED),
    "two lengths": (["content-length: 0", "content-length: 43"], INNER),
    "a list of lengths": (["content-length: 0, 43"], INNER),
    "a signed length": (["content-length: +0"], INNER),
    "a hexadecimal length": (["content-length: 0x0"], INNER),
    "a folded length": (["content-length:\r\n 0"], INNER),
    "a chunk with a signed size": (["transfer-encoding: chunked"], f"+0\r\n\r\n{INNER}"),
    "a chunk that ends early": (["transfer-encoding: chunked"], f"1\r\nxx{CHUNKED}"),
}


@pytest.mark.parametrize(("headers", "body"), SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_request_within_a_request_is_not_answered(
    served: Served, headers: list[str], body: str
) -> None:
    async with connected(served.api.url, trust=served.files.trust()) as client:
        await client.send(head_of("/nowhere", *headers) + body.encode("latin-1"))
        output = await client.read_to_end()
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", output)
    assert len(statuses) <= 1
    assert b"200" not in statuses


KEYS = TokenKeySet([make_key(SystemClock().now() - timedelta(hours=1))])
ISSUER = "https://volary.example"


def claims(**changed: Any) -> dict[str, Any]:
    now = int(SystemClock().now().timestamp())
    return {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "user:ada",
        "org": "acme",
        "client_id": "flyte",
        "credential_kind": "login",
        "credential_id": "f1",
        "jti": "1",
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        **changed,
    }


def sign(content: dict[str, Any], key: Any = None, **header: Any) -> str:
    own = KEYS.current(SystemClock().now())
    whole = {"alg": "ES256", "kid": own.kid, "typ": "at+jwt", **header}
    return jwt.encode(whole, content, key or own.key, ["ES256", "HS256"])


def unsigned() -> str:
    parts = [json.dumps({"alg": "none", "typ": "at+jwt"}), json.dumps(claims())]
    encoded = [base64.urlsafe_b64encode(each.encode()).rstrip(b"=").decode() for each in parts]
    return ".".join([*encoded, ""])


def altered() -> str:
    head, _, signature = sign(claims()).split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(org="other")).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def confused() -> str:
    key: Any = KEYS.current(SystemClock().now()).key
    public: bytes = key.as_pem(private=False)
    return sign(claims(), OctKey.import_key(public.hex()), alg="HS256")


def hours(count: int) -> int:
    return int(SystemClock().now().timestamp()) + count * 3600


FORGED: Mapping[str, Callable[[], str]] = {
    "no signature": unsigned,
    "altered": altered,
    "the public key as a shared secret": confused,
    "a foreign key": lambda: sign(claims(), ECKey.generate_key("P-256")),
    "expired": lambda: sign(claims(iat=hours(-2), nbf=hours(-2), exp=hours(-1))),
    "not yet valid": lambda: sign(claims(iat=hours(1), nbf=hours(1), exp=hours(2))),
    "another audience": lambda: sign(claims(aud="https://other.example")),
    "another issuer": lambda: sign(claims(iss="https://other.example")),
    "another kind": lambda: sign(claims(), typ="JWT"),
    "garbage": lambda: "e30.e30." + "x" * 5000,
}


async def test_forged_tokens_are_refused_by_every_version_of_http(
    database_url: str, tmp_path: Path
) -> None:
    clock = SystemClock()

    async def resolve(org: OrgName, subject: Subject) -> Caller:
        return Caller(subject=subject, org=org, name="Ada", grants=org_wide(EVERYTHING))

    revocations = Revocations(clock)
    revocations.add([], clock.now())
    tokens = AccessTokens(KEYS, clock, issuer=ISSUER)
    authn = BearerTokens(tokens, revocations, CallerCache(resolve, clock))
    async with serve(database_url, tmp_path, authn=authn) as served:
        for http2 in (False, True):
            async with httpx.AsyncClient(
                base_url=served.api.url, verify=served.files.trust(), http2=http2
            ) as http:

                async def call(token: str, http: httpx.AsyncClient = http) -> httpx.Response:
                    headers = {"authorization": f"Bearer {token}"}
                    return await http.post(USER_INFO, json={}, headers=headers)

                assert (await call(sign(claims()))).status_code == 200
                for name, forge in FORGED.items():
                    answer = await call(forge())
                    assert answer.status_code == 401, name
                    assert answer.json()["code"] == "unauthenticated"
