"""FileService: what attempts wrote, links to files, and the code of tasks."""

from controlplane.api.platform.conventions import ListCall, parse_duration, render_time
from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.code_bundles import BundledFile
from controlplane.core.errors import InvalidError, UnavailableError
from controlplane.usecases.files import Files
from shared.idl.platform.v1 import file_pb2 as pb
from shared.model.ids import ActionKey, RunKey


class FileService:
    def __init__(self, files: Files | None) -> None:
        """``files``: None for a program that has no access to the blob store."""
        self._files = files

    async def list_files(
        self, caller: Caller, request: pb.ListFilesRequest
    ) -> pb.ListFilesResponse:
        call = ListCall(caller, request)
        if request.attempt < 1:
            raise InvalidError("attempt: name one, from 1")
        found, after = await self._require_files().list(
            caller,
            _parse_action(request),
            request.attempt,
            limit=call.listing.limit,
            after=call.listing.token,
        )
        return pb.ListFilesResponse(
            files=[pb.File(path=each.path, uri=each.uri, size=each.size) for each in found],
            next_page_token=call.next_token(after),
        )

    async def create_file_link(
        self, caller: Caller, request: pb.CreateFileLinkRequest
    ) -> pb.CreateFileLinkResponse:
        link = await self._require_files().link(
            caller, request.uri, expires_in=parse_duration(request.expires_in, "expires_in")
        )
        return pb.CreateFileLinkResponse(
            signed_url=link.signed_url, expires_at=render_time(link.expires_at)
        )

    async def list_code_files(
        self, caller: Caller, request: pb.ListCodeFilesRequest
    ) -> pb.ListCodeFilesResponse:
        call = ListCall(caller, request)
        found, is_truncated = await self._require_files().list_code(caller, _parse_action(request))
        page, token = call.slice(found, key=lambda each: each.path)
        return pb.ListCodeFilesResponse(
            files=map(_render, page), next_page_token=token, truncated=is_truncated
        )

    async def read_code_file(
        self, caller: Caller, request: pb.ReadCodeFileRequest
    ) -> pb.ReadCodeFileResponse:
        found = await self._require_files().read_code(caller, _parse_action(request), request.path)
        return pb.ReadCodeFileResponse(
            file=_render(found.file),
            text=found.text or "",
            binary=found.text is None,
            truncated=found.is_truncated,
        )

    def _require_files(self) -> Files:
        if self._files is None:
            raise UnavailableError("files are read from a control plane that serves; ask one")
        return self._files


def _parse_action(
    request: pb.ListFilesRequest | pb.ListCodeFilesRequest | pb.ReadCodeFileRequest,
) -> ActionKey:
    run = RunKey(
        names.parse_project(request.project),
        names.parse_domain(request.domain),
        names.parse_run(request.run),
    )
    return ActionKey(run, names.parse_action(request.action))


def _render(file: BundledFile) -> pb.CodeFile:
    return pb.CodeFile(path=file.path, size=file.size)
