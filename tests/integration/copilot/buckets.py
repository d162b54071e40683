"""
Stores as the signer for the copilot has them: a directory, S3, Azure.

Links are real: the directory's are signed by ``controlplane.core.signing`` and answered by
``controlplane.web.blobs``, the others' by obstore and by the servers. Only the links to
parts are signed here, by the books of Amazon and Microsoft.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import quote, urlsplit

import httpx
import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

from controlplane.core.signing import Grant, Method, SigningKey, SigningKeys, sign
from shared.blobs.options import S3Options
from tests.servers.azurite import CONTAINER, AzureForTests

KEYS = SigningKeys(SigningKey(b"k" * 32))
Parts = Sequence[tuple[str, str]]  # ETag and, or "", CRC-32
_HOUR = timedelta(hours=1)
_NONE: Mapping[str, str] = {}
_VERBS: Mapping[Method, Literal["GET", "PUT"]] = {Method.GET: "GET", Method.PUT: "PUT"}


class Bucket(Protocol):
    """``key`` is below the bucket's base, as the URI has it after that."""

    base: str
    odd: str  # characters that are hard to sign, if they can be

    @property
    def store(self) -> ObjectStore: ...
    def link(self, method: Method, key: str, *, expired: bool = False) -> dict[str, object]: ...
    async def begin(self, key: str, *, crc32: bool) -> dict[str, object]: ...
    def part_link(self, key: str, upload: str, number: int, crc32: str) -> dict[str, object]: ...
    async def complete(self, key: str, upload: str, parts: Parts) -> None: ...
    async def abandon(self, key: str, upload: str) -> None: ...


class DirectoryBucket:
    odd = " ö#%"

    def __init__(self, root: Path, public_url: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.base = f"file://{root}"
        self.store = LocalStore(root)
        self._public_url = public_url

    def link(self, method: Method, key: str, *, expired: bool = False) -> dict[str, object]:
        life = -_HOUR if expired else _HOUR
        expires_at = datetime.now(UTC) + life  # noqa: TID251 - the server's clock is real too
        return {
            "url": self._public_url
            + sign(Grant(method=method, path=key, expires_at=expires_at), KEYS)
        }

    async def begin(self, key: str, *, crc32: bool) -> dict[str, object]:
        raise NotImplementedError(key, crc32)

    def part_link(self, key: str, upload: str, number: int, crc32: str) -> dict[str, object]:
        raise NotImplementedError(key, upload, number, crc32)

    async def complete(self, key: str, upload: str, parts: Parts) -> None:
        raise NotImplementedError(key, upload, parts)

    async def abandon(self, key: str, upload: str) -> None:
        raise NotImplementedError(key, upload)


class S3Bucket:
    odd = " ö#%+"

    def __init__(self, base: str, options: S3Options) -> None:
        self.base = base
        self._options = options
        self._bucket, _, prefix = base.removeprefix("s3://").partition("/")
        self._prefix = prefix
        self.store = S3Store(
            self._bucket,
            prefix=prefix,
            endpoint=options.endpoint,
            region=options.region,
            access_key_id=options.access_key,
            secret_access_key=options.secret_key.reveal(),
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def link(self, method: Method, key: str, *, expired: bool = False) -> dict[str, object]:
        url = obstore.sign(self.store, _VERBS[method], key, _HOUR)
        # A server of now cannot be asked to have expired something; it says 403 as well.
        return {"url": url.replace("Signature=", "Signature=0") if expired else url}

    async def begin(self, key: str, *, crc32: bool) -> dict[str, object]:
        wanted = {"x-amz-checksum-algorithm": "CRC32"} if crc32 else {}
        answer = await self._call("POST", key, {"uploads": ""}, headers=wanted)
        found = re.search("<UploadId>(.+?)</UploadId>", answer)
        assert found
        return {"upload": found[1], "checksum": "crc32" if crc32 else ""}

    def part_link(self, key: str, upload: str, number: int, crc32: str) -> dict[str, object]:
        query = {"partNumber": str(number), "uploadId": upload}
        headers = {"x-amz-checksum-crc32": crc32} if crc32 else {}
        return {"url": self._presigned("PUT", key, query, headers), "headers": headers}

    async def complete(self, key: str, upload: str, parts: Parts) -> None:
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>"
            + (f"<ChecksumCRC32>{crc32}</ChecksumCRC32>" if crc32 else "")
            + "</Part>"
            for number, (etag, crc32) in enumerate(parts, 1)
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        await self._call("POST", key, {"uploadId": upload}, body)

    async def abandon(self, key: str, upload: str) -> None:
        await self._call("DELETE", key, {"uploadId": upload})

    async def checksum(self, key: str) -> str:
        """Return the CRC-32 that the store keeps of a blob, if it does."""
        headers = {"x-amz-checksum-mode": "ENABLED"}
        link = self._presigned("HEAD", key, {}, headers)
        async with httpx.AsyncClient() as http:
            answer = await http.head(link, headers=headers)
        assert answer.is_success, answer.status_code
        return str(answer.headers.get("x-amz-checksum-crc32", ""))

    async def uploads(self) -> list[str]:
        """Keys of what has begun and is neither complete nor abandoned."""
        answer = await self._call("GET", None, {"uploads": "", "prefix": self._prefix})
        return re.findall("<Key>(.+?)</Key>", answer)

    async def _call(
        self,
        method: str,
        key: str | None,
        query: Mapping[str, str],
        body: str = "",
        headers: Mapping[str, str] = _NONE,
    ) -> str:
        link = self._presigned(method, key, query, headers)
        async with httpx.AsyncClient(timeout=60) as http:
            answer = await http.request(method, link, content=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.text

    def _presigned(
        self,
        method: str,
        key: str | None,
        query: Mapping[str, str],
        headers: Mapping[str, str] = _NONE,
    ) -> str:
        """Signature version 4, in the query; one header, if any, comes after the host's."""
        now = datetime.now(UTC)  # noqa: TID251 - the server's clock is real too
        at, scope = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}/{self._options.region}/s3/aws4_request"
        host = urlsplit(self._options.endpoint).netloc
        path = "/" + quote("/".join(filter(None, (self._bucket, key and self._prefix, key))))
        terms = {
            **query,
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self._options.access_key}/{scope}",
            "X-Amz-Date": at,
            "X-Amz-Expires": "3600",
            "X-Amz-SignedHeaders": ";".join(["host", *headers]),
        }
        pairs = "&".join(f"{name}={quote(terms[name], safe='')}" for name in sorted(terms))
        output = "".join(f"{name}:{text}\n" for name, text in {"host": host, **headers}.items())
        names = terms["X-Amz-SignedHeaders"]
        request = f"{method}\n{path}\n{pairs}\n{output}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key_bytes = f"AWS4{self._options.secret_key.reveal()}".encode()
        for word in scope.split("/"):
            key_bytes = hmac.digest(key_bytes, word.encode(), "sha256")
        to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}"
        signature = hmac.new(key_bytes, to_sign.encode(), "sha256").hexdigest()
        return f"{self._options.endpoint}{path}?{pairs}&X-Amz-Signature={signature}"


class AzureBucket:
    odd = ""  # obstore signs the quoted name, Azure wants the plain one signed

    def __init__(self, server: AzureForTests, prefix: str) -> None:
        self.base = f"abfs://{CONTAINER}/{prefix}"
        self.store = server.store(prefix)

    def link(self, method: Method, key: str, *, expired: bool = False) -> dict[str, object]:
        url = obstore.sign(self.store, _VERBS[method], key, _HOUR)
        output: dict[str, object] = {"url": url.replace("sig=", "sig=0") if expired else url}
        if method is Method.PUT:
            output["headers"] = {"x-ms-blob-type": "BlockBlob"}
        return output

    async def begin(self, key: str, *, crc32: bool) -> dict[str, object]:  # noqa: ARG002
        return {"upload": hashlib.sha256(key.encode()).hexdigest()}

    def part_link(self, key: str, upload: str, number: int, crc32: str) -> dict[str, object]:
        assert not crc32, "Azure knows another"
        return {
            "url": f"{self._put(key)}&comp=block&blockid={quote(_block(upload, number), safe='')}"
        }

    async def complete(self, key: str, upload: str, parts: Parts) -> None:
        blocks = "".join(
            f"<Latest>{_block(upload, number)}</Latest>" for number in range(1, len(parts) + 1)
        )
        body = f"<?xml version='1.0' encoding='utf-8'?><BlockList>{blocks}</BlockList>"
        async with httpx.AsyncClient(timeout=60) as http:
            answer = await http.put(f"{self._put(key)}&comp=blocklist", content=body)
        assert answer.is_success, answer.text

    async def abandon(self, key: str, upload: str) -> None:
        """Uncommitted blocks expire by themselves."""

    def _put(self, key: str) -> str:
        return str(self.link(Method.PUT, key)["url"])


def _block(upload: str, number: int) -> str:
    return b64encode(f"{upload[:16]}-{number:06}".encode()).decode()
