"""The policies of AWS allow the calls that the code makes, and no others."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from shared.blobs.store import open_store
from shared.kit.secrets import SecretBytes
from shared.model.ids import OrgName
from shared.model.secrets import SecretName
from shared.secrets.envelopes import KeyringEnvelopes
from shared.secrets.keyrings import KmsKey
from tests.servers.seaweed import S3ForTests
from tests.terraform.cli import Terraform
from tests.terraform.modules import MODULES, copy_module

_REGION = "eu-central-1"
_PART = 8 * 1024 * 1024
_NAME = SecretName(org=OrgName("acme"), project="shop", domain="production", name="token")


class Recorder(ThreadingHTTPServer):
    """Passes requests on to a server, and keeps what each one asks for."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.actions: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder  # type: ignore[mutable-override]

    def _pass_on(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        self.server.actions.add(_name_action(self.command, self.path, self.headers))
        answer = httpx.request(
            self.command,
            self.server.target + self.path,
            content=body,
            headers=list(self.headers.items()),  # with the host that the client has signed
        )
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        size = (
            answer.headers.get("content-length") if self.command == "HEAD" else len(answer.content)
        )
        self.send_header("content-length", str(size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


def _name_action(method: str, path: str, headers: Any) -> str:
    """Return the action of IAM that a request needs."""
    target = headers.get("x-amz-target")
    if target is not None:
        return f"kms:{target.partition('.')[2]}"
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    is_bucket = "/" not in parts.path.strip("/")
    match method:
        case "GET" if is_bucket:
            return "s3:ListBucket"
        case "GET" | "HEAD":
            return "s3:GetObject"
        case "DELETE" if "uploadId" in query:
            return "s3:AbortMultipartUpload"
        case "DELETE":
            return "s3:DeleteObject"
        case "POST" if "delete" in query:
            return "s3:DeleteObject"
        case _:
            return "s3:PutObject"


@contextmanager
def recording(target: str) -> Iterator[Recorder]:
    with Recorder(target) as recorder:
        thread = threading.Thread(target=recorder.serve_forever)
        thread.start()
        try:
            yield recorder
        finally:
            recorder.shutdown()
            thread.join()


def read_policies(terraform: Terraform) -> dict[str, list[dict[str, Any]]]:
    """Apply the module, which has no provider, and return the statements of each policy."""
    copy_module(MODULES / "aws/policies", terraform.directory)
    arn = "arn:aws:kms:eu-central-1:123456789012:key"
    terraform.run("init")
    terraform.apply(
        "-var=bucket_arn=arn:aws:s3:::volary",
        f"-var=bucket_key_arn={arn}/bucket",
        f"-var=secrets_key_arn={arn}/secrets",
    )
    outputs = json.loads(terraform.run("output", "-json")[1])
    return {name: json.loads(each["value"])["Statement"] for name, each in outputs.items()}


def allowed(statements: list[dict[str, Any]], *names: str) -> set[str]:
    return {action for each in statements if each.get("Sid") in names for action in each["Action"]}


async def _fail_after_parts() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x" * _PART
    raise InterruptedError


async def test_policy_of_the_bucket_allows_the_calls_of_the_store_and_no_others(
    plain_terraform: Terraform, s3_server: S3ForTests
) -> None:
    with recording(s3_server.options.endpoint) as recorder:
        base = s3_server.new_base()
        direct = open_store(base, s3_server.options)
        await direct.write(f"{base}/first", b"makes the bucket")
        store = open_store(base, replace(s3_server.options, endpoint=recorder.url))
        await store.write(f"{base}/a/1", b"1")
        assert await store.read(f"{base}/a/1", limit=10) == b"1"
        assert await store.exists(f"{base}/a/1")
        assert len(await store.list_below(f"{base}/a", limit=10)) == 1
        with pytest.raises(InterruptedError):
            await store.write_stream(f"{base}/a/2", _fail_after_parts())
        signed = await store.sign_put(f"{base}/a/3", timedelta(minutes=1))
        assert signed is not None
        async with httpx.AsyncClient() as http:
            assert (await http.put(signed, content=b"3")).is_success
        await store.delete(f"{base}/a/1")
        assert [count async for count in store.delete_below(f"{base}/a")]
    policies = read_policies(plain_terraform)
    for name in ("store", "control_plane"):
        assert allowed(policies[name], "Objects", "List") == recorder.actions


async def test_policy_of_the_control_plane_allows_the_calls_to_the_key_of_secrets(
    plain_terraform: Terraform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with recording(f"http://{host}:{port}") as recorder:
            client = boto3.client("kms", region_name=_REGION, endpoint_url=recorder.target)
            arns = [client.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
            client.close()
            keys = [KmsKey(arn, _REGION, recorder.url) for arn in arns]
            sealed = await KeyringEnvelopes(keys[:1], keys).seal(
                _NAME, SecretBytes(b"v"), version=1
            )
            opened = await KeyringEnvelopes(keys[1:], keys).open(_NAME, sealed)
            assert opened == SecretBytes(b"v")
            await KeyringEnvelopes(keys, keys).seal(_NAME, opened, version=2)
    finally:
        server.stop()
    policies = read_policies(plain_terraform)
    assert allowed(policies["control_plane"], "SecretsKey") == recorder.actions
    assert allowed(policies["store"], "SecretsKey") == set()


def test_no_policy_allows_everything(plain_terraform: Terraform) -> None:
    policies = read_policies(plain_terraform)
    for name in ("store", "control_plane"):
        for each in policies[name]:
            assert each["Effect"] == "Allow"
            assert not any("*" in action for action in each["Action"])
            assert each["Resource"] not in ("*", "arn:aws:s3:::*")
