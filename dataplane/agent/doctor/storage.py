"""Check the bucket: write, read, sign a link to and delete one small blob."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import aiohttp

from dataplane.agent.doctor.results import CheckResult, fault, fine, warning
from shared.blobs.errors import BlobError, BlobStoreError
from shared.blobs.options import S3Options
from shared.blobs.store import BlobStore, open_store

ABOUT = "storage"
PREFIX = ".doctor"
_WITHIN = timedelta(seconds=20)
_CONTENT = b"volary-agent doctor: this may be deleted\n"
_CREDENTIALS = (
    "grant the agent's identity (serviceAccount.annotations, storage.existingSecret) to get, "
    "put, list and delete below that prefix"
)


async def try_storage(
    base: str, *, by_links: bool, options: S3Options | None = None
) -> Sequence[CheckResult]:
    """
    Write, read and delete a blob below ``base``, the control plane's base for this cluster.

    ``by_links``: also fetch it through a signed link, as copilots do.
    """
    try:
        store = open_store(base, options)
    except (ValueError, BlobStoreError) as error:
        return [fault(ABOUT, str(error), "correct VOLARY_BLOB_BASE of the control plane")]
    uri = store.uri(f"{PREFIX}/{uuid4()}")
    results: list[CheckResult] = []
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            await store.write(uri, _CONTENT)
            try:
                if await store.read(uri, limit=len(_CONTENT)) != _CONTENT:
                    results.append(_rewritten(uri))
                if by_links:
                    results.append(await _follow_link(store, uri))
            finally:
                await store.delete(uri)
    except TimeoutError:
        results.append(
            fault(
                ABOUT,
                f"{base} does not answer within {_WITHIN.seconds} s",
                "allow egress to the bucket (networkPolicy), and see that a metadata server "
                "or token file gives credentials",
            )
        )
    except BlobError as error:
        results.append(fault(ABOUT, str(error), _CREDENTIALS))
    else:
        results.insert(0, fine(ABOUT, f"{base} can be written to, read from and deleted from"))
    return results


def _rewritten(uri: str) -> CheckResult:
    return fault(
        ABOUT,
        f"{uri} was read with other content than was written",
        "check for proxies that change blobs",
    )


async def _follow_link(store: BlobStore, uri: str) -> CheckResult:
    """
    Check that a signed link works.

    Copilots have no credentials, and use links that the API proxy signs.
    """
    link = await store.sign_get(uri, timedelta(minutes=1))
    if link is None:
        return warning(
            ABOUT,
            f"{store.base} signs no links",
            "use a bucket, if tasks are to run raw containers: a directory cannot be reached "
            "from their pods",
        )
    try:
        async with aiohttp.ClientSession() as session, session.get(link) as answer:
            status, content = answer.status, await answer.content.read(len(_CONTENT) + 1)
    except (aiohttp.ClientError, OSError) as error:
        return fault(
            ABOUT,
            f"a signed link does not answer: {type(error).__name__}",
            "let pods reach the bucket's own address",
        )
    if status == 200 and content == _CONTENT:
        return fine(ABOUT, "signed links work")
    return fault(
        ABOUT,
        f"a signed link answers {status}",
        "set the clock, and let the agent's identity read below that prefix",
    )
