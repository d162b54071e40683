"""Cached tasks with the SDK: an equal call gets the outputs of an earlier one and does not run."""

import asyncio
from collections import Counter

from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.catalog_pb2 import CatalogCacheStatus
from flyteidl2.task.run_pb2 import CacheConfig, RunSpec
from flyteidl2.workflow.run_service_pb2 import WatchActionDetailsRequest

from tests.system.api_client import ApiClient

HIT, MISS = CatalogCacheStatus.CACHE_HIT, CatalogCacheStatus.CACHE_MISS
POPULATED = CatalogCacheStatus.CACHE_POPULATED
OVERWRITE = RunSpec(overwrite_cache=True, cache_config=CacheConfig(overwrite_cache=True))


async def count(api: ApiClient, *roots: ActionIdentifier) -> Counter[int]:
    """Count the children of these runs by their cache status."""
    found: Counter[int] = Counter()
    for root in roots:
        found.update(child.status.cache_status for child in await api.children(root))
    return found


async def test_equal_child_gets_the_outputs_of_the_first(api: ApiClient) -> None:
    root = await api.start("cached.twice", number=101)
    assert await api.result(root) == [[202, 202]]
    assert await count(api, root) == {POPULATED: 1, HIT: 1}


async def test_second_run_of_a_cached_root_has_ended_in_its_first_message(api: ApiClient) -> None:
    first = await api.start("cached.double", number=102)
    assert await api.result(first) == [204]
    second = await api.start("cached.double", number=102)
    request = WatchActionDetailsRequest(action_id=second)
    answer = await anext(api.runs.watch_action_details(request, timeout_ms=60_000))
    assert answer.details.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert answer.details.status.cache_status == HIT
    assert await api.result(second) == [204]


async def test_root_gets_the_outputs_of_an_equal_child(api: ApiClient) -> None:
    assert await api.result(await api.start("cached.twice", number=103)) == [[206, 206]]
    root = await api.start("cached.double", number=103)
    assert await api.result(root) == [206]
    assert (await api.details(root)).status.cache_status == HIT


async def test_overwriting_run_replaces_the_entries(api: ApiClient) -> None:
    await api.finish("cached.double", number=104)
    again = await api.finish("cached.double", run_spec=OVERWRITE, number=104)
    assert again.status.cache_status == POPULATED
    hit = await api.finish("cached.double", number=104)
    source = hit.attempts[0].cache_metadata.source_action_attempt.action_id
    assert source.run.name == again.id.run.name


async def test_ignored_input_and_order_of_a_dict_do_not_count(api: ApiClient) -> None:
    root = await api.start("cached.ignoring", number=105)
    assert await api.result(root) == [[108, 108]]
    assert await count(api, root) == {POPULATED: 1, HIT: 1}


async def test_file_of_a_hit_is_read(api: ApiClient) -> None:
    root = await api.start("cached.reading", text="one hundred and six")
    assert await api.result(root) == ["one hundred and six"]
    assert await count(api, root) == {POPULATED: 1, HIT: 1}


async def test_serialized_calls_of_several_runs_at_once_run_once(api: ApiClient) -> None:
    roots = [await api.start("cached.together", number=107, calls=5) for _ in range(4)]
    assert await asyncio.gather(*(api.result(each) for each in roots)) == [[[321] * 5]] * 4
    assert await count(api, *roots) == {POPULATED: 1, HIT: 19}
