"""Tests of caches: what is evicted, and when entries expire."""

from datetime import timedelta

import pytest

from shared.kit.cache import ExpiringCache, LruCache
from tests.fakes.clock import FakeClock

MINUTE = timedelta(minutes=1)


def make_cache(*keys: str, size: int = 3) -> LruCache[str, int]:
    cache: LruCache[str, int] = LruCache(size)
    cache.update({key: number for number, key in enumerate(keys)})
    return cache


def test_cache_evicts_least_recently_used_entry() -> None:
    cache = make_cache("a", "b", "c")
    assert cache["a"] == 0
    cache["b"] = 7
    cache["d"] = 9

    assert dict(cache) == {"a": 0, "b": 7, "d": 9}


def test_cache_is_a_mapping() -> None:
    cache = make_cache("a", "b")

    assert cache.pop("a") == 0
    assert (cache.get("a"), "b" in cache, len(cache)) == (None, True, 1)
    del cache["b"]
    with pytest.raises(KeyError):
        cache["b"]


def test_cache_is_iterated_from_least_recently_used() -> None:
    cache = make_cache("a", "b", "c")
    cache["a"] = 5

    assert list(cache.items()) == [("b", 1), ("c", 2), ("a", 5)]


def test_cache_keeps_entries_that_may_not_be_evicted() -> None:
    used = {"a", "b"}
    cache: LruCache[str, int] = LruCache(2, may_evict=lambda key, _: key not in used)
    cache.update(a=1, b=2, c=3)
    assert list(cache) == ["a", "b"]

    used.add("d")
    cache["d"] = 4
    assert list(cache) == ["a", "b", "d"]

    used.clear()
    cache["e"] = 5
    assert list(cache) == ["d", "e"]


def test_cache_entry_expires_at_its_own_time() -> None:
    clock = FakeClock()
    cache: ExpiringCache[str, int] = ExpiringCache(3, clock)
    cache.put("short", 1, until=clock.now() + MINUTE)
    cache.put("long", 2, until=clock.now() + 2 * MINUTE)
    assert (cache.get("short"), cache["long"]) == (1, 2)

    clock.advance(MINUTE)
    assert (cache.get("short"), cache["long"], len(cache)) == (None, 2, 1)
    with pytest.raises(KeyError):
        cache["short"]


def test_expiring_cache_evicts_least_recently_used_entry() -> None:
    clock = FakeClock()
    cache: ExpiringCache[str, int] = ExpiringCache(2, clock)
    for key in "abac":
        if cache.get(key) is None:
            cache.put(key, 1, until=clock.now() + MINUTE)

    assert [cache.get(key) for key in "abc"] == [1, None, 1]
