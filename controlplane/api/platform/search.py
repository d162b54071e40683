"""SearchService: finds what the caller may see by a part of its name."""

from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError
from controlplane.usecases.search import Search
from shared.idl.platform.v1 import search_pb2 as pb

DEFAULT_LIMIT = 10


class SearchService:
    def __init__(self, search: Search) -> None:
        self._search = search

    async def find(self, caller: Caller, request: pb.FindRequest) -> pb.FindResponse:
        if bool(request.project) != bool(request.domain):
            raise InvalidError("project and domain: send both, or none")
        scope = None
        if request.project:
            scope = names.parse_project(request.project), names.parse_domain(request.domain)
        found = await self._search.find(
            caller, request.text, scope=scope, limit=request.limit or DEFAULT_LIMIT
        )
        return pb.FindResponse(
            found=[
                pb.Found(
                    kind=each.kind.value,
                    name=each.name,
                    project=each.project,
                    domain=each.domain,
                    task=each.task,
                    title=each.title,
                )
                for each in found
            ]
        )
