"""
Resolves the service account that signs Google's links, and signs with it.

Tries the sources that obstore tries, in its order: a key file (options, then
``GOOGLE_APPLICATION_CREDENTIALS`` and obstore's own variables), then the metadata server. With a
key file this process signs. Without one, IAM signs (``signBlob``), one request for each link, for
which the service account needs ``iam.serviceAccounts.signBlob`` on itself: the role Service
Account Token Creator.
"""

import asyncio
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.blobs.errors import BlobStoreError
from shared.blobs.options import GcsOptions
from shared.blobs.requests import Answer, UnansweredError, send
from shared.kit.clock import Clock

_KEY_FILES = (
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_APPLICATION_CREDENTIALS",
)
_METADATA_HOST = "metadata.google.internal"
_METADATA_SECONDS = 2.0  # outside Google's cloud the name does not resolve
_IAM = "https://iamcredentials.googleapis.com"
_FRESH_FOR = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """A service account with its key."""

    email: str
    key: rsa.RSAPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Token:
    email: str
    text: str = field(repr=False)
    until: datetime


class GcsIdentity:
    """Caches the key, or the token of the metadata server until it expires."""

    def __init__(
        self,
        options: GcsOptions,
        clock: Clock,
        environment: Mapping[str, str] | None = None,
        iam: str = _IAM,
    ) -> None:
        """``environment`` None means that of the process."""
        self._options = options
        self._clock = clock
        self._environment = os.environ if environment is None else environment
        self._iam = iam
        self._key: ServiceAccountKey | None = None
        self._token: _Token | None = None
        self._lock = asyncio.Lock()

    async def email(self) -> str:
        """Return the service account that signs; BlobStoreError if there is none."""
        return (await self._find()).email

    async def sign(self, data: bytes) -> bytes:
        """Return the signature of the data by the service account: RSA, PKCS #1 v1.5, SHA-256."""
        found = await self._find()
        if isinstance(found, ServiceAccountKey):
            return found.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        url = f"{self._iam}/v1/projects/-/serviceAccounts/{found.email}:signBlob"
        try:
            answer = await send(
                "POST",
                url,
                headers={
                    "Authorization": f"Bearer {found.text}",
                    "Content-Type": "application/json",
                },
                body=json.dumps({"payload": b64encode(data).decode()}).encode(),
            )
        except UnansweredError as error:
            raise BlobStoreError(f"IAM signs no link for {found.email}: {error}") from error
        if answer.status != 200:
            raise BlobStoreError(
                f"IAM signs no link for {found.email}: it answers {answer.status};"
                " give that service account the role Service Account Token Creator"
                " (roles/iam.serviceAccountTokenCreator) on itself, and enable the API"
                " iamcredentials.googleapis.com"
            )
        return b64decode(json.loads(answer.body)["signedBlob"])

    async def _find(self) -> ServiceAccountKey | _Token:
        async with self._lock:
            if self._key is not None:
                return self._key
            now = self._clock.now()
            if self._token is not None and self._token.until - now > _FRESH_FOR:
                return self._token
            try:
                if file := key_file(self._options, self._environment):
                    self._key = await asyncio.to_thread(read_key, file)
                    return self._key
                self._token = await self._by_metadata(now)
            except (UnansweredError, OSError, ValueError, KeyError) as error:
                raise BlobStoreError(
                    f"no service account to sign links to Google Cloud Storage with was found:"
                    f" {error}; give the Kubernetes service account a workload identity"
                    " (iam.gke.io/gcp-service-account), or set GOOGLE_APPLICATION_CREDENTIALS"
                ) from error
            return self._token

    async def _by_metadata(self, now: datetime) -> _Token:
        host = self._environment.get("GCE_METADATA_HOST") or _METADATA_HOST
        base = f"http://{host}/computeMetadata/v1/instance/service-accounts/default"
        email = (await _metadata(f"{base}/email")).text.strip()
        if "@" not in email:
            raise ValueError(
                f"the metadata server names {email}, which is no Google service account, and only"
                " one can sign links: annotate the Kubernetes service account with it"
            )
        token = json.loads((await _metadata(f"{base}/token")).body)
        until = now + timedelta(seconds=int(token["expires_in"]))
        return _Token(email, str(token["access_token"]), until)


def key_file(options: GcsOptions, environment: Mapping[str, str]) -> str:
    """Return the path of the service account's key; "" if there is none."""
    return options.credentials_file or next(
        filter(None, (environment.get(name) for name in _KEY_FILES)), ""
    )


def read_key(path: str) -> ServiceAccountKey:
    """Read the key file of a service account; ValueError or OSError if it is none."""
    fields = json.loads(Path(path).read_text("utf-8"))
    kind = fields.get("type") if isinstance(fields, dict) else None
    if kind != "service_account":
        raise ValueError(f"{path} is the key of no service account (its type is {kind!r})")
    key = serialization.load_pem_private_key(str(fields["private_key"]).encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{path} has no RSA key")  # noqa: TRY004 -- of the file's content
    return ServiceAccountKey(str(fields["client_email"]), key)


async def _metadata(url: str) -> Answer:
    answer = await send(
        "GET", url, headers={"Metadata-Flavor": "Google"}, nearby=True, timeout=_METADATA_SECONDS
    )
    if answer.status != 200:
        raise ValueError(f"the metadata server answers {answer.status}")
    return answer
