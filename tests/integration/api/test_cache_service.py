"""CacheService of version 2: entries that actions stored, and entries of other programs."""

from collections.abc import Mapping
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.cacheservice.cacheservice_pb2 import (
    CachedOutput,
    DeleteCacheRequest as DeleteByKey,
    GetCacheRequest as GetByKey,
    OverwriteOutput,
    PutCacheRequest as PutByKey,
)
from flyteidl2.cacheservice.v2.cacheservice_pb2 import (
    DeleteCacheRequest,
    GetCacheRequest,
    Identifier,
    PutCacheRequest,
)
from flyteidl2.task.common_pb2 import Outputs
from google.protobuf.duration_pb2 import Duration

from tests.integration.api.caching import HIT, MISS, child, details, run_everything, run_in
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import refusal

PLACE = Identifier(org=ORG, project=PROJECT, domain=DOMAIN)


def folder(api: ApiUnderTest, name: str, *, project: str = PROJECT) -> str:
    return f"{api.blobs.base}/{ORG}/{project}/{DOMAIN}/{name}"


async def put(
    api: ApiUnderTest, uri: str, *, key: str = "k1", place: Identifier = PLACE, **overwrite: Any
) -> None:
    entry = PutByKey(key=key, output=CachedOutput(output_uri=uri))
    entry.output.metadata.source_identifier.name = "env.other"
    if overwrite:
        entry.overwrite.CopyFrom(OverwriteOutput(**overwrite))
    await api.cache.put(PutCacheRequest(identifier=place, base_request=entry))


async def get(api: ApiUnderTest, key: str = "k1") -> CachedOutput:
    request = GetCacheRequest(identifier=PLACE, base_request=GetByKey(key=key))
    answer = await api.cache.get(request)
    found: CachedOutput = answer.output
    return found


async def delete(api: ApiUnderTest, key: str = "k1") -> None:
    request = DeleteCacheRequest(identifier=PLACE, base_request=DeleteByKey(key=key))
    await api.cache.delete(request)


async def start(api: ApiUnderTest) -> None:
    await api.runs.create_run(run_in(PROJECT, "r1"))
    await run_everything(api)


async def test_get_returns_the_outputs_of_an_action_and_what_stored_them(api: ApiUnderTest) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    found = await get(api)
    assert found.output_uri.endswith("/r1/c1/1")
    assert dict(found.metadata.key_map.values) == {"run": "r1", "action": "c1", "attempt": "1"}
    source = found.metadata.source_identifier
    assert (source.org, source.project, source.name) == (ORG, PROJECT, "env.child")


async def test_action_gets_the_outputs_that_a_program_has_put(api: ApiUnderTest) -> None:
    await start(api)
    uri = folder(api, "imported")
    await api.blobs.write(f"{uri}/outputs.pb", Outputs().SerializeToString())
    await put(api, f"{uri}/outputs.pb")
    await api.actions.enqueue(child(api, "c1"))
    [attempt] = (await details(api, "c1")).attempts
    assert (attempt.cache_status, attempt.outputs.output_uri) == (HIT, f"{uri}/outputs.pb")
    assert not attempt.cache_metadata.HasField("source_action_attempt")
    assert (await get(api)).metadata.source_identifier.name == "env.other"


async def test_deleted_entry_is_a_miss_and_is_not_found(api: ApiUnderTest) -> None:
    await start(api)
    await api.actions.enqueue(child(api, "c1"))
    await run_everything(api)
    await delete(api)
    await api.actions.enqueue(child(api, "c2"))
    assert (await details(api, "c2")).status.cache_status == MISS
    for call in (get(api), delete(api)):
        code, message = await refusal(call)
        assert (code, message) == (
            Code.NOT_FOUND,
            f"cache entry {PROJECT}/{DOMAIN}/k1 not found",
        )


@pytest.mark.parametrize(
    ("overwrite", "kept"),
    [
        ({}, "/one"),
        ({"overwrite": True}, "/two"),
        ({"max_age": Duration(seconds=3600)}, "/one"),
        ({"max_age": Duration(seconds=0)}, "/two"),
    ],
)
async def test_put_replaces_an_entry_only_as_it_is_told(
    api: ApiUnderTest, overwrite: Mapping[str, Any], kept: str
) -> None:
    await put(api, folder(api, "one"))
    second = put(api, folder(api, "two"), **overwrite)
    if kept == "/two":
        await second
    else:
        code, message = await refusal(second)
        assert code is Code.ALREADY_EXISTS
        assert "overwrite.overwrite" in message
    assert (await get(api)).output_uri.endswith(kept)


async def test_put_outside_of_the_entrys_project_is_refused(api: ApiUnderTest) -> None:
    for uri in (folder(api, "x", project="other"), f"{api.blobs.base}/other/x", "s3://b/x", ""):
        code, message = await refusal(put(api, uri))
        assert code is Code.INVALID_ARGUMENT
        assert "output.output_uri" in message


async def test_request_that_is_not_served_says_what_to_do(api: ApiUnderTest) -> None:
    literals = PutByKey(key="k1", output=CachedOutput(output_literals={}))
    code, message = await refusal(
        api.cache.put(PutCacheRequest(identifier=PLACE, base_request=literals))
    )
    assert (code, "output.output_uri" in message) == (Code.UNIMPLEMENTED, True)
    code, message = await refusal(put(api, folder(api, "x"), delete_blob=True))
    assert (code, "delete the outputs yourself" in message) == (Code.UNIMPLEMENTED, True)


async def test_entry_without_a_key_or_project_is_refused(api: ApiUnderTest) -> None:
    code, message = await refusal(put(api, folder(api, "x"), key=""))
    assert (code, "key" in message) == (Code.INVALID_ARGUMENT, True)
    nowhere = Identifier(org=ORG, project="", domain=DOMAIN)
    code, message = await refusal(put(api, folder(api, "x"), place=nowhere))
    assert (code, "project" in message) == (Code.INVALID_ARGUMENT, True)
