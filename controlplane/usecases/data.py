"""
Use cases of data: uploads, inputs of runs to come, downloads, inputs and outputs of actions.

Payloads are opaque bytes here; ``api.convert.data`` parses them. ``blob_access`` decides which
URIs are read, written or signed for.
"""

import hashlib
from base64 import b32encode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.core import layout
from controlplane.core.actions import ActionDetail, ActionType, RunSource
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    NotReadyError,
)
from controlplane.core.runs import InputsUpload
from controlplane.core.signing import Grant, Method, SigningKeys
from controlplane.core.tasks import TaskKey
from controlplane.usecases.actions import Actions
from controlplane.usecases.blob_access import BlobAccess
from controlplane.usecases.blob_errors import map_blob_errors
from controlplane.usecases.projects import Projects
from controlplane.usecases.signed_links import Link, SignedLinks
from shared.blobs.errors import (
    BlobNotFoundError,
    BlobTooLargeError,
)
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.model.ids import ActionKey, DomainName, ProjectName
from shared.model.phases import SUCCESSES

MAX_UPLOAD_BYTES = 5 * 1024**3
"""S3's limit of a single PUT."""
MAX_PAYLOAD_BYTES = 32 * 1024**2
"""Largest inputs.pb or outputs.pb that is shown; the SDK writes up to 10 MiB by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Request for a signed URL to upload one file."""

    project: ProjectName
    domain: DomainName
    md5: bytes  # of the whole file, 16 bytes
    filename: str = ""  # "" to be named by its MD5
    root: str = ""  # groups the files of a directory; "" to be named by the MD5
    length: int = 0  # 0 if unknown
    expires_in: timedelta = timedelta(0)  # 0 for LINK_LIFE


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLocation:
    """Signed URL to PUT the file to, and the URI by which tasks read it."""

    signed_url: str = field(repr=False)
    native_url: str  # a path in a directory: the SDK reads some files by paths only
    expires_at: datetime
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionData:
    """An action's inputs and outputs; None for those that do not exist (yet)."""

    inputs: bytes | None
    outputs: bytes | None
    inputs_uri: str
    outputs_uri: str
    value: bytes  # of a condition: the flyteidl2.core.Literal of its signal


class Data:
    """
    Use cases of data.

    ``public_url`` and ``keys`` are for links into a store that cannot sign its own.
    """

    def __init__(
        self,
        store: BlobStore,
        clock: Clock,
        *,
        actions: Actions,
        projects: Projects,
        keys: SigningKeys,
        public_url: str,
    ) -> None:
        self.access = BlobAccess(store.base)
        self._store = store
        self._clock = clock
        self._actions = actions
        self._projects = projects
        self.links = SignedLinks(store, clock, keys=keys, public_url=public_url)

    async def create_upload(self, caller: Caller, upload: Upload) -> UploadLocation:
        """
        Return the location and a signed URL for one file.

        Without a root the location is named by the MD5, so that the same file has the same
        location. With a root, an existing file there must be the same: AlreadyExistsError.
        """
        caller.require(Permission.BLOB_WRITE, upload.project, upload.domain)
        _check(upload)
        await self._projects.require(caller, upload.project, upload.domain)
        by_md5 = b32encode(upload.md5).decode().rstrip("=").lower()
        uri = layout.upload_uri(
            self._store.base,
            caller.org,
            upload.project,
            upload.domain,
            root=upload.root or by_md5,
            filename=upload.filename or by_md5,
        )
        self.access.require_location(caller, uri)
        with map_blob_errors():
            # The SDK uploads same-named files of different folders to one URI, concurrently.
            replace = (
                not upload.root
                or layout.may_be_replaced(upload.root, upload.filename)
                or await self._is_there(uri, upload)
            )
            expires_at = self.links.expiry(upload.expires_in)
            grant = Grant(
                method=Method.PUT,
                path=self._store.relative(uri),
                expires_at=expires_at,
                length=upload.length or None,
                max_length=None if upload.length else MAX_UPLOAD_BYTES,
                md5=upload.md5,
            )
            return UploadLocation(
                signed_url=await self.links.sign(uri, grant, replace=replace),
                native_url=self._store.native(uri),
                expires_at=expires_at,
                headers={
                    "Content-MD5": b64encode(upload.md5).decode(),
                    **self._store.put_headers(replace=replace),
                },
            )

    async def upload_inputs(self, caller: Caller, upload: InputsUpload) -> str:
        """Store inputs under their SHA-256 and return the URI; the run need not exist yet."""
        uri = self.locate_inputs(caller, upload)
        await self._projects.require(caller, upload.project, upload.domain)
        await self.store_inputs(uri, upload.body)
        return uri

    def locate_inputs(self, caller: Caller, upload: InputsUpload) -> str:
        """Return the URI that inputs get, by their SHA-256; InvalidError if they are too large."""
        caller.require(Permission.BLOB_WRITE, upload.project, upload.domain)
        if len(upload.body) > MAX_PAYLOAD_BYTES:
            raise InvalidError(
                f"the inputs have {len(upload.body)} bytes, more than {MAX_PAYLOAD_BYTES};"
                " pass large data as files"
            )
        digest = hashlib.sha256(upload.body).hexdigest()
        base = upload.base.rstrip("/") or self._store.base
        uri = layout.uploaded_inputs_uri(base, caller.org, upload.project, upload.domain, digest)
        self.access.require_location(caller, uri)
        return uri

    async def store_inputs(self, uri: str, body: bytes) -> None:
        """Write inputs to the URI that ``locate_inputs`` returned, unless they are there."""
        with map_blob_errors():
            if not await self._store.exists(uri):
                await self._store.write(uri, body)

    async def get_action_data(
        self,
        caller: Caller,
        key: ActionKey,
        *,
        has_outputs: Callable[[bytes], bool],
        tracked_only: bool = False,
    ) -> ActionData:
        """
        Return the action's inputs and, once it has succeeded, its outputs.

        NotFoundError names which of the two is missing. ``has_outputs`` returns whether a task's
        spec declares outputs: a task without outputs need not write an outputs.pb. ``tracked_only``:
        runs that clusters run count as not found.
        """
        detail = await self._actions.detail(caller, key)
        if tracked_only and detail.row.source is not RunSource.TRACKED:
            raise NotFoundError("tracked run", key.run)
        inputs = outputs = None
        inputs_uri, outputs_uri = detail.input_uri, ""
        if detail.row.type is ActionType.CONDITION:
            inputs_uri = ""  # a condition's URI is a placeholder
        elif inputs_uri:
            inputs = await self._read_inputs(caller, inputs_uri, detail)
        if detail.row.phase in SUCCESSES and detail.row.output_uri:
            outputs_uri = detail.row.output_uri
            if detail.row.type is ActionType.TASK:
                outputs_uri = layout.outputs_uri(outputs_uri)
            try:
                outputs = await self._read(caller, outputs_uri, "outputs of action", key)
            except NotFoundError:
                if detail.row.type is not ActionType.TASK or has_outputs(detail.spec):
                    raise
                outputs = b""
        return ActionData(
            inputs=inputs,
            outputs=outputs,
            inputs_uri=inputs_uri,
            outputs_uri=outputs_uri,
            value=detail.row.value,
        )

    async def _read_inputs(self, caller: Caller, uri: str, detail: ActionDetail) -> bytes | None:
        """Read an action's inputs; a program need not upload those of the actions that it reports."""
        try:
            return await self._read(caller, uri, "inputs of action", detail.row.key)
        except NotFoundError:
            if detail.row.source is not RunSource.TRACKED:
                raise
            return None

    async def read_inputs(self, caller: Caller, key: ActionKey, uri: str) -> bytes:
        """Return an action's inputs if they are at ``uri``; NotFoundError for any other URI."""
        detail = await self._actions.detail(caller, key)
        if detail.row.type is ActionType.CONDITION or detail.input_uri != uri:
            raise NotFoundError("inputs", f"of action {key} at this literals_uri")
        return await self._read(caller, uri, "inputs of action", key)

    async def link_to_report(
        self, caller: Caller, key: ActionKey, attempt: int, *, expires_in: timedelta
    ) -> Link:
        """Return a link to one attempt's report, which the attempt may still overwrite."""
        caller.require(Permission.BLOB_READ, key.run.project, key.run.domain)
        detail = await self._actions.detail(caller, key)
        found = [one for one in detail.attempts if one.number == attempt]
        if not found:
            raise NotFoundError("attempt", f"{attempt} of action {key}")
        prefix = found[0].output_uri or layout.prefix_of_attempt(detail.row.output_prefix, attempt)
        uri = found[0].report_uri or layout.report_uri(prefix)
        return await self._link(
            caller, uri, f"report of attempt {attempt} of action", key, expires_in
        )

    def locate_uploaded(self, caller: Caller, address: str, field: str) -> str:
        """
        Return the URI of what was uploaded to ``address``, a native URL of ``create_upload``.

        "" means nothing. InvalidError, naming ``field``: outside the org. NotFoundError: in a project
        that the caller may not read.
        """
        uri = self._store.uri_of_native(address) if address else ""
        self.access.require_readable(caller, uri, field)
        return uri

    async def require_code(self, caller: Caller, address: str) -> None:
        """
        Raise NotReadyError if a task's code bundle is not in the store (any more).

        "" means no bundle. A bundle in another bucket is not checked: only the task can read it.
        """
        uri = self._store.uri_of_native(address)
        if not address or (self._store.signs and not uri.startswith(f"{self._store.base}/")):
            return
        with map_blob_errors():
            if self.access.may(caller, Permission.BLOB_READ, uri):
                if await self._store.exists(uri):
                    return
                why = "does not exist"
            elif self.access.is_own(caller, uri):
                why = "belongs to a project that you may not read"
            else:
                why = f"is outside {layout.org_base(self._store.base, caller.org)}"
        raise NotReadyError(
            f"the task's code bundle {address} {why}: the SDK caches its uploads for a day,"
            " even when the store has been replaced; run `flyte delete local-cache`"
            " and try again (a deployed task: deploy it again)"
        )

    async def link_to_code(
        self,
        caller: Caller,
        key: ActionKey,
        *,
        bundle_of: Callable[[bytes], str],
        expires_in: timedelta,
    ) -> Link:
        """Return a link to the code bundle that ``bundle_of`` finds in the action's spec."""
        caller.require(Permission.BLOB_READ, key.run.project, key.run.domain)
        detail = await self._actions.detail(caller, key)
        uri = bundle_of(detail.spec) if detail.row.type is ActionType.TASK else ""
        if not uri:
            raise NotFoundError("code bundle of action", key)
        uri = self._store.uri_of_native(uri)
        return await self._link(caller, uri, "code bundle of action", key, expires_in)

    async def link_to_code_of_task(
        self, caller: Caller, key: TaskKey, bundle: str, *, expires_in: timedelta
    ) -> Link:
        """Return a link to the code bundle that a deployed task names; ``bundle`` "": it has none."""
        caller.require(Permission.BLOB_READ, key.project, key.domain)
        if not bundle:
            raise NotFoundError("code bundle of task", key)
        uri = self._store.uri_of_native(bundle)
        what = "code bundle of task"
        self.access.require_of(caller, uri, f"{what} {key}", key.project, key.domain)
        return await self._sign_existing(uri, what, key, expires_in)

    async def _link(
        self, caller: Caller, uri: str, what: str, key: ActionKey, expires_in: timedelta
    ) -> Link:
        self.access.require_of_action(caller, uri, what, key)
        return await self._sign_existing(uri, what, key, expires_in)

    async def _sign_existing(
        self, uri: str, what: str, key: ActionKey | TaskKey, expires_in: timedelta
    ) -> Link:
        link = await self.links.get(uri, expires_in)
        if link is None:
            raise NotFoundError(what, key)
        return link

    async def _read(self, caller: Caller, uri: str, what: str, key: ActionKey) -> bytes:
        self.access.require_of_action(caller, uri, what, key)
        try:
            with map_blob_errors():
                return await self._store.read(uri, limit=MAX_PAYLOAD_BYTES)
        except BlobNotFoundError as error:
            # No URI in this text: the SDK searches it for "inputs", which a URI may contain.
            raise NotFoundError(what, key) from error
        except BlobTooLargeError as error:
            raise ExhaustedError(f"the {what} {key} are too large to show: {error}") from error

    async def find_error(self, caller: Caller, uri: str) -> bytes | None:
        """Return the error document at ``uri``; None if it is missing or not the caller's to read."""
        if not self.access.may(caller, Permission.BLOB_READ, uri):
            return None
        try:
            with map_blob_errors():
                return await self._store.read(uri, limit=MAX_PAYLOAD_BYTES)
        except (BlobNotFoundError, BlobTooLargeError):
            return None

    async def _is_there(self, uri: str, upload: Upload) -> bool:
        """Return whether the same content exists at ``uri``; AlreadyExistsError if other does."""
        if not await self._store.exists(uri):
            return False
        digest = hashlib.md5(usedforsecurity=False)
        async for chunk in await self._store.stream(uri):
            digest.update(chunk)
        if digest.digest() != upload.md5:
            raise AlreadyExistsError(
                f"{uri} exists already, with other content; choose another filename"
                " or filename_root"
            )
        return True


def _check(upload: Upload) -> None:
    if len(upload.md5) != 16:
        raise InvalidError(
            f"content_md5 has {len(upload.md5)} bytes; give the 16 bytes of the content's MD5"
        )
    if not 0 <= upload.length <= MAX_UPLOAD_BYTES:
        raise InvalidError(
            f"content_length is {upload.length}; one upload takes at most {MAX_UPLOAD_BYTES} bytes"
        )
