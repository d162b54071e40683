"""
Resolves the S3 access key that multipart uploads are signed with.

Tries the sources that obstore tries, in its order: explicit options, environment variables,
a web identity (EKS service accounts), container or pod credentials, instance metadata.
obstore does not expose the key that it found.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from shared.blobs.errors import BlobStoreError
from shared.blobs.options import S3Options
from shared.blobs.requests import Answer, UnansweredError, send
from shared.blobs.sigv4 import AccessKey

_FRESH_FOR = timedelta(minutes=20)  # links signed with it live for minutes; so does it, at least
_CONTAINER_HOST = "http://169.254.170.2"
_INSTANCE = "http://169.254.169.254/latest"
_INSTANCE_SECONDS = 2.0  # outside EC2 the address does not answer


class AccessKeys:
    """Caches the access key: resolved at first use, refreshed before it expires."""

    def __init__(
        self,
        options: S3Options,
        now: Callable[[], datetime],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``now`` reads the clock; ``environment`` None means that of the process."""
        self._options = options
        self._now = now
        self._environment = os.environ if environment is None else environment
        self._key: AccessKey | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> AccessKey:
        """Return a key valid for at least 20 minutes; BlobStoreError if none is found."""
        async with self._lock:
            if self._key is None or self._is_stale(self._key):
                try:
                    self._key = await self._find()
                except (UnansweredError, OSError, ValueError, KeyError) as error:
                    raise BlobStoreError(
                        f"no S3 access key to sign uploads with was found: {error}; check the"
                        " cloud identity of the agent's service account"
                    ) from error
            return self._key

    def _is_stale(self, key: AccessKey) -> bool:
        return key.until is not None and key.until - self._now() < _FRESH_FOR

    async def _find(self) -> AccessKey:
        options, environment = self._options, self._environment
        if options.access_key and options.secret_key:
            return AccessKey(
                id=options.access_key,
                secret=options.secret_key.reveal(),
                session_token=options.session_token.reveal(),
            )
        if environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY"):
            return AccessKey(
                id=environment["AWS_ACCESS_KEY_ID"],
                secret=environment["AWS_SECRET_ACCESS_KEY"],
                session_token=environment.get("AWS_SESSION_TOKEN", ""),
            )
        if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environment.get("AWS_ROLE_ARN"):
            return await self._by_web_identity()
        if url := _container_url(environment):
            return await self._by_container(url)
        return await self._by_instance()

    async def _by_web_identity(self) -> AccessKey:
        environment = self._environment
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", "")
        host = f"sts.{region}.amazonaws.com" if region else "sts.amazonaws.com"
        url = environment.get("AWS_ENDPOINT_URL_STS") or f"https://{host}"
        token = await asyncio.to_thread(
            Path(environment["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text, "ascii"
        )
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": environment["AWS_ROLE_ARN"],
            "RoleSessionName": environment.get("AWS_ROLE_SESSION_NAME", "volary"),
            "WebIdentityToken": token.strip(),
        }
        answer = await send(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        _require_good(answer, "the security token service (STS)")
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        return _key({name: _between(name, answer.text) for name in names}, "SessionToken")

    async def _by_container(self, url: str) -> AccessKey:
        headers = {}
        if file := self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = await asyncio.to_thread(Path(file).read_text, "ascii")
            headers["Authorization"] = token.strip()
        elif token := self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""):
            headers["Authorization"] = token
        answer = await send("GET", url, headers=headers, nearby=urlsplit(url).scheme == "http")
        _require_good(answer, "the container credentials endpoint")
        return _key(json.loads(answer.body), "Token")

    async def _by_instance(self) -> AccessKey:
        if self._environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise ValueError(
                "the environment has no credentials, and AWS_EC2_METADATA_DISABLED is true"
            )
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        token = await self._instance("PUT", "api/token", ttl)
        headers = {"X-aws-ec2-metadata-token": token.text}
        roles = "meta-data/iam/security-credentials"
        role = (await self._instance("GET", f"{roles}/", headers)).text.split("\n")[0]
        answer = await self._instance("GET", f"{roles}/{role}", headers)
        return _key(json.loads(answer.body), "Token")

    async def _instance(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        answer = await send(
            method,
            f"{_INSTANCE}/{path}",
            headers=headers,
            nearby=True,
            timeout=_INSTANCE_SECONDS,
        )
        _require_good(answer, "the instance metadata service")
        return answer


def _container_url(environment: Mapping[str, str]) -> str:
    if relative := environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return f"{_CONTAINER_HOST}{relative}"
    return environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")


def _key(given: Mapping[str, str], session_token: str) -> AccessKey:
    until = datetime.fromisoformat(given["Expiration"])
    return AccessKey(
        id=given["AccessKeyId"],
        secret=given["SecretAccessKey"],
        session_token=given[session_token],
        until=until.astimezone(UTC),
    )


def _require_good(answer: Answer, service: str) -> None:
    if answer.status != 200:
        raise ValueError(f"{service} answers {answer.status}")


def _between(name: str, text: str) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", text)
    if found is None:
        raise KeyError(name)
    return found[1].strip()
