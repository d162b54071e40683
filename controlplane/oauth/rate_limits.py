"""
Limits requests to credential endpoints, in the memory of this replica.

Budgets are token buckets. What an address sends is limited, and what it sends that fails is
limited more. No budget is an account's alone: an attacker who guesses a victim's secret uses up
the budget of the attacker's own address for that key, and the victim's address keeps its own.
A key that succeeded from an address lately keeps a budget of its own there, so that another
client behind the same proxy does not lock it out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from shared.kit.cache import LruCache
from shared.kit.clock import Clock

MOST_REMEMBERED = 50_000
"""Budgets, and successes, that a replica remembers: some 15 MB."""
SUCCESS_COUNTS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` at once, and then one more in each ``every``."""

    burst: int
    every: timedelta


REQUESTS = Rate(1000, timedelta(milliseconds=10))
"""Of one address: thousands of pods behind one address may start together."""
FAILURES = Rate(300, timedelta(seconds=1))
"""
Failed requests of one address. It bounds the load, and leaves an office room to log in again:
secrets of 256 bits are not found by guessing.
"""
FAILURES_OF_CREDENTIAL = Rate(10, timedelta(seconds=30))
"""Failed requests of one address with one API key or token, or by one person."""


class _Budgets:
    """Token buckets by key; the least recently used one is forgotten first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at: LruCache[str, datetime] = LruCache(MOST_REMEMBERED)

    def wait(self, key: str, now: datetime) -> timedelta:
        """Return how long until the budget of ``key`` allows one more; zero: now."""
        full_at = self._full_at.get(key, now)
        return max(full_at - now - self._rate.every * (self._rate.burst - 1), timedelta())

    def charge(self, key: str, now: datetime) -> None:
        full_at = max(self._full_at.get(key, now), now) + self._rate.every
        self._full_at[key] = min(full_at, now + self._rate.every * self._rate.burst)

    def __len__(self) -> int:
        return len(self._full_at)


class RateLimits:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests = _Budgets(REQUESTS)
        self._failures = _Budgets(FAILURES)
        self._of_credential = _Budgets(FAILURES_OF_CREDENTIAL)
        self._succeeded: LruCache[str, datetime] = LruCache(MOST_REMEMBERED)

    def admit(self, peer: str, credential: str) -> timedelta:
        """
        Count a request of an address with a credential; return how long it has to wait.

        ``credential`` names an API key or a person, or is a digest of a token; never a secret.

        Zero: it is admitted. A request that is not admitted costs nothing.
        """
        now = self._clock.now()
        address, pair = _network(peer), _pair(peer, credential)
        waits = [self._requests.wait(address, now), self._of_credential.wait(pair, now)]
        if not self._has_succeeded(pair, now):
            waits.append(self._failures.wait(address, now))
        longest = max(waits)
        if not longest:
            self._requests.charge(address, now)
        return longest

    def failed(self, peer: str, credential: str) -> None:
        """Charge a failed request."""
        now = self._clock.now()
        self._failures.charge(_network(peer), now)
        self._of_credential.charge(_pair(peer, credential), now)

    def succeeded(self, peer: str, credential: str) -> None:
        """Note that a credential was right from this address."""
        self._succeeded[_pair(peer, credential)] = self._clock.now()

    def _has_succeeded(self, pair: str, now: datetime) -> bool:
        at = self._succeeded.get(pair)
        return at is not None and now - at < SUCCESS_COUNTS


def _network(peer: str) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 address, all of which one host may have."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(int(address) >> 64)
    return str(address)


def _pair(peer: str, credential: str) -> str:
    return f"{_network(peer)} {credential[:100]}"
