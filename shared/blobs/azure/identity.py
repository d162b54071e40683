"""
Resolves what signs Azure's links: the account's key, or a key that the store gives an identity.

Tries the sources that obstore tries, in its order: options and environment variables (a key of
the account), a workload identity (AKS service accounts), the machine's managed identity. An
identity gets a user delegation key of the store, for which it needs the action
``generateUserDelegationKey`` on the account: part of the role Storage Blob Delegator.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from shared.blobs.azure.sas import VERSION, AccountKey, DelegationKey
from shared.blobs.errors import BlobStoreError
from shared.blobs.options import AzureOptions
from shared.blobs.requests import Answer, UnansweredError, send
from shared.kit.clock import Clock

_KEY_LASTS = timedelta(hours=6)  # the store gives seven days at most
_FRESH_FOR = timedelta(minutes=90)  # links signed with it live an hour at most
_SKEW = timedelta(minutes=15)
_AUTHORITY = "https://login.microsoftonline.com"
_METADATA = "http://169.254.169.254/metadata/identity/oauth2/token"
_METADATA_SECONDS = 2.0  # outside Azure the address does not answer
_SCOPE = "https://storage.azure.com/"
_TIMES = "%Y-%m-%dT%H:%M:%SZ"


class AzureIdentity:
    """Caches the key: resolved at first use, requested again before it expires."""

    def __init__(
        self,
        options: AzureOptions,
        endpoint: str,
        clock: Clock,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``endpoint`` is the account's; ``environment`` None means that of the process."""
        self._options = options
        self._endpoint = endpoint
        self._clock = clock
        self._environment = os.environ if environment is None else environment
        self._delegated: DelegationKey | None = None
        self._lock = asyncio.Lock()

    async def signing_key(self) -> AccountKey | DelegationKey:
        """Return a key valid for at least 90 minutes; BlobStoreError if none is found."""
        if key := account_key(self._options, self._environment):
            return AccountKey(key)
        async with self._lock:
            now = self._clock.now()
            if self._delegated is None or self._delegated.until - now < _FRESH_FOR:
                try:
                    self._delegated = await self._delegate(now)
                except (UnansweredError, OSError, ValueError, KeyError) as error:
                    raise BlobStoreError(
                        f"no key to sign links to {self._endpoint} with was found: {error}; give"
                        " the service account a workload identity with the role Storage Blob Delegator on"
                        " the storage account, or set AZURE_STORAGE_ACCOUNT_KEY"
                    ) from error
            return self._delegated

    async def _delegate(self, now: datetime) -> DelegationKey:
        """Request a user delegation key of the store."""
        token = await self._token()
        until = (now + _KEY_LASTS).replace(microsecond=0)
        begin = (now - _SKEW).strftime(_TIMES)
        body = f"<KeyInfo><Start>{begin}</Start><Expiry>{until.strftime(_TIMES)}</Expiry></KeyInfo>"
        answer = await send(
            "POST",
            f"{self._endpoint}/?restype=service&comp=userdelegationkey",
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/xml",
                "x-ms-version": VERSION,
            },
            body=body.encode(),
        )
        _require_good(answer, "the store, asked for a user delegation key,")
        return DelegationKey(
            object_id=_element("SignedOid", answer),
            tenant_id=_element("SignedTid", answer),
            start=_element("SignedStart", answer),
            expiry=_element("SignedExpiry", answer),
            service=_element("SignedService", answer),
            version=_element("SignedVersion", answer),
            key=_element("Value", answer),
            until=datetime.fromisoformat(_element("SignedExpiry", answer)).astimezone(UTC),
        )

    async def _token(self) -> str:
        environment = self._environment
        if file := environment.get("AZURE_FEDERATED_TOKEN_FILE"):
            return await self._by_workload_identity(file)
        query = {"api-version": "2018-02-01", "resource": _SCOPE}
        if client := environment.get("AZURE_CLIENT_ID"):
            query["client_id"] = client
        answer = await send(
            "GET",
            f"{_METADATA}?{urlencode(query)}",
            headers={"Metadata": "true"},
            nearby=True,
            timeout=_METADATA_SECONDS,
        )
        _require_good(answer, "the managed identity endpoint")
        return str(json.loads(answer.body)["access_token"])

    async def _by_workload_identity(self, file: str) -> str:
        environment = self._environment
        missing = [n for n in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID") if not environment.get(n)]
        if missing:
            raise ValueError(f"AZURE_FEDERATED_TOKEN_FILE is set without {' and '.join(missing)}")
        assertion = await asyncio.to_thread(Path(file).read_text, "ascii")
        authority = environment.get("AZURE_AUTHORITY_HOST", "").rstrip("/") or _AUTHORITY
        form = {
            "grant_type": "client_credentials",
            "client_id": environment["AZURE_CLIENT_ID"],
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion.strip(),
            "scope": f"{_SCOPE}.default",
        }
        answer = await send(
            "POST",
            f"{authority}/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        _require_good(answer, "Entra ID")
        return str(json.loads(answer.body)["access_token"])


def account_key(options: AzureOptions, environment: Mapping[str, str]) -> str:
    """Return the account's key, in base64; "" if there is none."""
    return options.account_key.reveal() or next(
        filter(
            None, map(environment.get, ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"))
        ),
        "",
    )


def _require_good(answer: Answer, service: str) -> None:
    if answer.status != 200:
        raise ValueError(f"{service} answers {answer.status}")


def _element(name: str, answer: Answer) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", answer.text)
    if found is None:
        raise KeyError(name)
    return found[1]
