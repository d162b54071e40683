"""
Google Cloud Storage for tests: its signatures are checked here, SeaweedFS keeps the blobs.

Google's XML API is S3's, but for signatures and conditions. No emulator of it that is to be had
checks signatures, MD5s or conditions, or has uploads in parts (fake-gcs-server has none of
these). So this front checks what Google checks, with the service account's public key: the V4
signature of links, their expiry, that every ``x-goog-`` header is signed, and the self-signed
tokens of obstore. It translates conditions, and passes requests on to the real S3 server.
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.blobs.options import GcsOptions, S3Options
from shared.blobs.sigv4 import AccessKey, presign
from tests.servers.http import serving
from tests.servers.seaweed import S3ForTests

EMAIL = "volary@project.iam.gserviceaccount.com"
_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE"]
_PASSED_ON = frozenset({"content-md5", "content-type", "range", "if-match", "if-none-match"})
_DROPPED = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding"})


class ServiceAccount:
    """A service account, with its key file as Google's console gives it."""

    def __init__(self, email: str = EMAIL) -> None:
        self.email = email
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def file(self, directory: Path) -> str:
        pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = directory / f"{secrets.token_hex(4)}.json"
        fields = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
        path.write_text(json.dumps(fields))
        return str(path)

    def has_signed(self, data: bytes, signature: bytes) -> bool:
        try:
            self.key.public_key().verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(slots=True)
class GcsForTests:
    options: GcsOptions
    requests: list[str] = field(
        default_factory=list
    )  # method, path and query of what was passed on

    def new_base(self) -> str:
        """Name a place of this test's own; the first blob makes the bucket."""
        return f"gs://tests/{secrets.token_hex(6)}"


@asynccontextmanager
async def gcs_server(
    s3: S3ForTests, directory: Path, account: ServiceAccount | None = None
) -> AsyncIterator[GcsForTests]:
    account = account or ServiceAccount()
    made: list[GcsForTests] = []

    async def answer(request: Request) -> Response:
        refusal = _refusal(request, account)
        if refusal:
            return Response(f"<Error><Code>{refusal}</Code></Error>", 403)
        made[0].requests.append(f"{request.method} {request.url.path}?{request.url.query}")
        return await _pass_on(http, request, s3.options)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=_METHODS)])
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http, serving(app) as address:
        options = GcsOptions(
            credentials_file=account.file(directory), endpoint=address, allow_http=True
        )
        made.append(GcsForTests(options))
        yield made[0]


def _refusal(request: Request, account: ServiceAccount) -> str:
    """Return why Google would refuse the request; "" if it would not."""
    query = dict(parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True))
    if "X-Goog-Signature" not in query:
        return "" if _is_token(request.headers.get("authorization", ""), account) else "NoToken"
    begun = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    life = timedelta(seconds=int(query["X-Goog-Expires"]))
    if not begun - timedelta(minutes=15) <= datetime.now(UTC) < begun + life:  # noqa: TID251
        return "ExpiredToken"
    names = query["X-Goog-SignedHeaders"].split(";")
    sent = {name for name in request.headers if name.startswith("x-goog-")}
    if "host" not in names or not sent <= set(names):
        return "UnsignedHeaders"
    scope = f"{query['X-Goog-Date'][:8]}/auto/storage/goog4_request"
    if query["X-Goog-Credential"] != f"{account.email}/{scope}":
        return "UnknownAccount"
    pairs = sorted(
        (quote(name, safe="~"), quote(text, safe="~"))
        for name, text in query.items()
        if name != "X-Goog-Signature"
    )
    lines = [f"{name}:{request.headers.get(name, '')}\n" for name in names]
    canonical = "\n".join(
        [
            request.method,
            request.scope["raw_path"].decode().partition("?")[0],
            "&".join(f"{name}={text}" for name, text in pairs),
            "".join(lines),
            ";".join(names),
            "UNSIGNED-PAYLOAD",
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{digest}"
    signature = bytes.fromhex(query["X-Goog-Signature"])
    return "" if account.has_signed(to_sign.encode(), signature) else "SignatureDoesNotMatch"


def _is_token(authorization: str, account: ServiceAccount) -> bool:
    """Return whether it is a token that the account made for itself, and that is valid."""
    parts = authorization.removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return False
    claims = json.loads(_decoded(parts[1]))
    signed = account.has_signed(f"{parts[0]}.{parts[1]}".encode(), _decoded(parts[2]))
    return signed and claims["iss"] == account.email and claims["exp"] > time.time()  # noqa: TID251


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def _pass_on(http: httpx.AsyncClient, request: Request, s3: S3Options) -> Response:
    headers = {name: text for name, text in request.headers.items() if name in _PASSED_ON}
    if request.headers.get("x-goog-if-generation-match") == "0":
        headers["if-none-match"] = "*"
    path = quote(unquote(request.scope["raw_path"].decode().partition("?")[0]), safe="/-_.~")
    query: Mapping[str, str] = {
        name: text
        for name, text in parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True)
        if not name.startswith("X-Goog-")
    }
    url = presign(
        request.method,
        f"{s3.endpoint}{path}",
        query,
        key=AccessKey(id=s3.access_key, secret=s3.secret_key.reveal()),
        region=s3.region,
        now=datetime.now(UTC),  # noqa: TID251 -- the server's clock is real too
        expires=timedelta(minutes=5),
    )
    answer = await http.request(
        request.method, url, headers=headers, content=await request.body() or None
    )
    fields = {name: text for name, text in answer.headers.items() if name not in _DROPPED}
    if request.method == "HEAD" and "content-length" in answer.headers:
        fields["content-length"] = answer.headers["content-length"]
    return Response(answer.content, answer.status_code, {**fields, "x-goog-generation": "1"})
