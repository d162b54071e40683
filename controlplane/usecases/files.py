"""Use cases of files: list what an attempt wrote, link to files, and show a code bundle."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from controlplane.core import code_bundles, layout
from controlplane.core.actions import ActionType
from controlplane.core.callers import Caller, Permission
from controlplane.core.code_bundles import BundledFile, BundledText
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.lists import MAX_LIMIT
from controlplane.usecases.actions import Actions
from controlplane.usecases.blob_access import BlobAccess
from controlplane.usecases.blob_errors import map_blob_errors
from controlplane.usecases.signed_links import Link, SignedLinks
from shared.blobs.errors import BlobNotFoundError, BlobTooLargeError
from shared.blobs.store import BlobStore
from shared.kit.admission import AdmissionLimiter
from shared.model.ids import ActionKey

BUNDLES_AT_ONCE = 2
"""Code bundles that one replica has in memory at once."""

FindBundle = Callable[[bytes], str]
"""Finds the address of the code bundle in a task's spec; "" if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFile:
    uri: str
    path: str  # below the attempt's prefix
    size: int  # bytes


class Files:
    def __init__(
        self, blobs: BlobStore, actions: Actions, links: SignedLinks, bundle_of: FindBundle
    ) -> None:
        self._access = BlobAccess(blobs.base)
        self._blobs = blobs
        self._actions = actions
        self._links = links
        self._bundle_of = bundle_of
        self._slots = AdmissionLimiter(BUNDLES_AT_ONCE, hold_at_most=60)

    async def list(
        self,
        caller: Caller,
        action: ActionKey,
        attempt: int,
        *,
        limit: int = MAX_LIMIT,
        after: str = "",
    ) -> tuple[Sequence[AttemptFile], str]:
        """
        List the files below an attempt's output prefix by path, with the token of the next page.

        NotFoundError, NotReadyError (the prefix lies elsewhere), UnavailableError.
        """
        caller.require(Permission.BLOB_READ, action.run.project, action.run.domain)
        detail = await self._actions.detail(caller, action)
        found = [each for each in detail.attempts if each.number == attempt]
        if not found:
            raise NotFoundError("attempt", f"{attempt} of action {action}")
        run_base = layout.run_base(self._blobs.base, caller.org, action.run)
        prefix = found[0].output_uri or layout.output_prefix(run_base, action.name, attempt)
        self._access.require_of_action(caller, f"{prefix}/", "files of action", action)
        with map_blob_errors():
            page = await self._blobs.list_below(prefix, after=after, limit=limit + 1)
        files = [
            AttemptFile(uri=f"{prefix}/{each.path}", path=each.path, size=each.size)
            for each in page[:limit]
        ]
        return files, files[-1].path if len(page) > limit else ""

    async def link(self, caller: Caller, uri: str, *, expires_in: timedelta) -> Link:
        """
        Return a link to a file of this org, for a caller who may read blobs where it lies.

        InvalidError: outside the org. NotFoundError: there is none, or in a project that the caller
        may not read.
        """
        if not uri:
            raise InvalidError("uri: name a file")
        uri = self._blobs.uri_of_native(uri)
        self._access.require_readable(caller, uri, "uri")
        link = await self._links.get(uri, expires_in)
        if link is None:
            raise NotFoundError("file", uri)
        return link

    async def list_code(
        self, caller: Caller, action: ActionKey
    ) -> tuple[Sequence[BundledFile], bool]:
        """Return the files of an action's code bundle by path, and whether there are more."""
        async with self._slots.admitted():  # it is in memory until it is read
            packed = await self._read_bundle(caller, action)
            return await asyncio.to_thread(code_bundles.list_files, packed)

    async def read_code(self, caller: Caller, action: ActionKey, path: str) -> BundledText:
        """Return the beginning of a file of an action's code bundle."""
        async with self._slots.admitted():
            packed = await self._read_bundle(caller, action)
            found = await asyncio.to_thread(code_bundles.read_text, packed, path)
        if found is None:
            raise NotFoundError("file", f"{path} of the code of action {action}")
        return found

    async def _read_bundle(self, caller: Caller, action: ActionKey) -> bytes:
        caller.require(Permission.BLOB_READ, action.run.project, action.run.domain)
        detail = await self._actions.detail(caller, action)
        address = self._bundle_of(detail.spec) if detail.row.type is ActionType.TASK else ""
        if not address:
            raise NotFoundError("code bundle of action", action)
        uri = self._blobs.uri_of_native(address)
        self._access.require_of_action(caller, uri, "code bundle of action", action)
        try:
            with map_blob_errors():
                return await self._blobs.read(uri, limit=code_bundles.MAX_PACKED_BYTES)
        except BlobNotFoundError as error:
            raise NotFoundError("code bundle of action", action) from error
        except BlobTooLargeError as error:
            raise InvalidError(
                f"the code bundle of action {action} is too large to show: {error}; download it"
            ) from error
