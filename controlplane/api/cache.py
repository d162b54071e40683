"""CacheService of version 2: gets, puts and deletes entries of the result cache."""

from flyteidl2.cacheservice.cacheservice_pb2 import (
    DeleteCacheResponse,
    GetCacheResponse,
    PutCacheResponse,
)
from flyteidl2.cacheservice.v2.cacheservice_pb2 import (
    DeleteCacheRequest,
    GetCacheRequest,
    PutCacheRequest,
)

from controlplane.api.convert import cache_entries as convert
from controlplane.core.callers import Caller
from controlplane.usecases.cache_entries import CacheEntries


class CacheService:
    def __init__(self, entries: CacheEntries) -> None:
        self._entries = entries

    async def get(self, caller: Caller, request: GetCacheRequest) -> GetCacheResponse:
        place = convert.parse_place(request.identifier, request.base_request.key)
        found = await self._entries.get(caller, place)
        return GetCacheResponse(output=convert.render_entry(caller.org, found))

    async def put(self, caller: Caller, request: PutCacheRequest) -> PutCacheResponse:
        place = convert.parse_place(request.identifier, request.base_request.key)
        overwrite, max_age = convert.parse_overwrite(request.base_request.overwrite)
        output = request.base_request.output
        await self._entries.put(
            caller,
            place,
            output_uri=convert.parse_output(output),
            task_name=convert.parse_source_name(output.metadata),
            overwrite=overwrite,
            max_age=max_age,
        )
        return PutCacheResponse()

    async def delete(self, caller: Caller, request: DeleteCacheRequest) -> DeleteCacheResponse:
        place = convert.parse_place(request.identifier, request.base_request.key)
        await self._entries.delete(caller, place)
        return DeleteCacheResponse()
