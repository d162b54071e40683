"""Budgets of credential endpoints: an attacker uses up their own, and no victim's."""

import pytest

from controlplane.oauth.rate_limits import (
    FAILURES,
    FAILURES_OF_CREDENTIAL,
    MOST_REMEMBERED,
    REQUESTS,
    SUCCESS_COUNTS,
    RateLimits,
)
from tests.fakes.clock import FakeClock

ATTACKER, VICTIM, KEY = "192.0.2.66", "192.0.2.1", "ak-victim"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limits(clock: FakeClock) -> RateLimits:
    return RateLimits(clock)


def fail(limits: RateLimits, peer: str, credential: str, times: int) -> None:
    for _ in range(times):
        assert not limits.admit(peer, credential)
        limits.failed(peer, credential)


def test_guessing_a_keys_secret_is_limited_for_the_address_that_guesses(
    limits: RateLimits,
) -> None:
    fail(limits, ATTACKER, KEY, FAILURES_OF_CREDENTIAL.burst)
    assert limits.admit(ATTACKER, KEY) == FAILURES_OF_CREDENTIAL.every
    assert not limits.admit(VICTIM, KEY)


def test_guessing_many_keys_is_limited_by_the_address(limits: RateLimits) -> None:
    for number in range(FAILURES.burst):
        fail(limits, ATTACKER, f"ak-{number}", 1)
    assert limits.admit(ATTACKER, "ak-other")
    assert not limits.admit(VICTIM, "ak-other")


def test_key_that_was_right_is_not_locked_out_by_others_at_its_address(
    limits: RateLimits, clock: FakeClock
) -> None:
    limits.succeeded(VICTIM, KEY)
    for number in range(FAILURES.burst):
        fail(limits, VICTIM, f"ak-{number}", 1)
    assert limits.admit(VICTIM, "ak-other")
    assert not limits.admit(VICTIM, KEY)
    for _ in range(int(SUCCESS_COUNTS / FAILURES.every)):
        clock.advance(FAILURES.every)
        limits.failed(VICTIM, "ak-other")
    assert limits.admit(VICTIM, KEY)


def test_budget_grows_again_with_time(limits: RateLimits, clock: FakeClock) -> None:
    fail(limits, ATTACKER, KEY, FAILURES_OF_CREDENTIAL.burst)
    clock.advance(FAILURES_OF_CREDENTIAL.every)
    fail(limits, ATTACKER, KEY, 1)
    assert limits.admit(ATTACKER, KEY)
    clock.advance(FAILURES_OF_CREDENTIAL.every * FAILURES_OF_CREDENTIAL.burst * 2)
    fail(limits, ATTACKER, KEY, FAILURES_OF_CREDENTIAL.burst)
    assert limits.admit(ATTACKER, KEY)


def test_long_attack_does_not_lock_for_longer_than_a_full_budget(
    limits: RateLimits, clock: FakeClock
) -> None:
    for _ in range(1000):
        limits.failed(ATTACKER, KEY)
    clock.advance(FAILURES_OF_CREDENTIAL.every)
    assert not limits.admit("192.0.2.2", KEY)
    clock.advance(FAILURES.every * FAILURES.burst)
    assert not limits.admit(ATTACKER, KEY)


def test_successful_requests_are_limited_too(limits: RateLimits, clock: FakeClock) -> None:
    for _ in range(REQUESTS.burst):
        assert not limits.admit(VICTIM, KEY)
        limits.succeeded(VICTIM, KEY)
    assert limits.admit(VICTIM, KEY)
    clock.advance(REQUESTS.every)
    assert not limits.admit(VICTIM, KEY)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
        ("2001:db8:1:1::1", "2001:db8:1:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("testclient", "testclient", True),
    ],
)
def test_addresses_of_one_host_share_a_budget(
    limits: RateLimits, first: str, second: str, *, shared: bool
) -> None:
    fail(limits, first, KEY, FAILURES_OF_CREDENTIAL.burst)
    assert bool(limits.admit(second, KEY)) is shared


def test_memory_is_bounded_however_many_addresses_there_are(limits: RateLimits) -> None:
    for number in range(MOST_REMEMBERED + 100):
        peer = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        limits.admit(peer, KEY)
        limits.failed(peer, KEY)
        limits.succeeded(peer, KEY)
    assert len(limits._requests) == MOST_REMEMBERED
    assert len(limits._failures) == MOST_REMEMBERED
    assert len(limits._of_credential) == MOST_REMEMBERED
    assert len(limits._succeeded) == MOST_REMEMBERED
