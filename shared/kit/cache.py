"""Caches of bounded size: least recently used entries leave first, some also expire."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from datetime import datetime
from typing import Generic, TypeVar

from shared.kit.clock import Clock

K = TypeVar("K")
V = TypeVar("V")


class LruCache(MutableMapping[K, V]):
    """
    Mapping of at most ``size`` entries; adding one more evicts the least recently used.

    ``may_evict``: entries for which it returns False stay, even if there are more than
    ``size`` of them, and the next one is evicted in their place.
    """

    def __init__(self, size: int, may_evict: Callable[[K, V], bool] | None = None) -> None:
        self._size = size
        self._may_evict = may_evict
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __getitem__(self, key: K) -> V:
        value = self._entries[key]
        self._entries.move_to_end(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            oldest = self._find_oldest()
            if oldest is None:
                return
            del self._entries[oldest[0]]

    def __delitem__(self, key: K) -> None:
        del self._entries[key]

    def __iter__(self) -> Iterator[K]:
        """Iterate from the least to the most recently used, over a copy: reading is a use."""
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def _find_oldest(self) -> tuple[K, V] | None:
        """Return the least recently used entry that may be evicted."""
        may_evict = self._may_evict
        entries = self._entries.items()
        return next((each for each in entries if may_evict is None or may_evict(*each)), None)


class ExpiringCache(Generic[K, V]):
    """Least-recently-used cache of at most ``size`` entries, each valid until its own time."""

    def __init__(self, size: int, clock: Clock) -> None:
        self._clock = clock
        self._entries: LruCache[K, tuple[V, datetime]] = LruCache(size)

    def __getitem__(self, key: K) -> V:
        """Return the value; KeyError if there is none, or it has expired."""
        value, until = self._entries[key]
        if until <= self._clock.now():
            del self._entries[key]
            raise KeyError(key)
        return value

    def __len__(self) -> int:
        """Return the number of entries, with those that have expired and were not read since."""
        return len(self._entries)

    def get(self, key: K) -> V | None:
        try:
            return self[key]
        except KeyError:
            return None

    def put(self, key: K, value: V, *, until: datetime) -> None:
        self._entries[key] = value, until
